package swarm

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	sessionPath   = "/v1/session"
	protocolProto = "chatfleet.v1.proto"
	protocolJSON  = "chatfleet.v1.json"

	websocketGUID     = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, 1.3
	maxHandshakeBytes = 16 << 10
	maxRetryAfter     = time.Minute
)

var (
	errHandshakeSize = fmt.Errorf("handshake: the answer is longer than %d bytes", maxHandshakeBytes)
	errNotHTTP       = errors.New("handshake: the answer is not HTTP/1.1")
	errAccept        = errors.New("handshake: Sec-WebSocket-Accept is missing or wrong")
	errUpgrade       = errors.New("handshake: 101 without Upgrade: websocket and Connection: Upgrade")
	errProtocol      = errors.New("handshake: the server did not agree to the sub-protocol")
	errExtension     = errors.New("handshake: the server agreed to an extension that was not offered")
)

// statusError is an answer other than 101.
type statusError struct {
	status     int
	retryAfter time.Duration
}

func (e statusError) Error() string { return "handshake: status " + strconv.Itoa(e.status) }

// handshakeKey is the Sec-WebSocket-Key of a connection. It is computed again when the answer comes, not kept.
func handshakeKey(dst []byte, seed, session, conn uint64) []byte {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], mix(seed^mix(session)))
	binary.LittleEndian.PutUint64(key[8:], mix(conn+mix(seed+session)))
	return base64.StdEncoding.AppendEncode(dst, key[:])
}

func appendAccept(dst, key []byte) []byte {
	h := sha1.New()
	h.Write(key)
	h.Write([]byte(websocketGUID))
	return base64.StdEncoding.AppendEncode(dst, h.Sum(nil))
}

func appendHandshake(dst []byte, host, protocol string, key []byte) []byte {
	dst = append(dst, "GET "+sessionPath+" HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: "...)
	dst = append(dst, protocol...)
	dst = append(dst, "\r\nSec-WebSocket-Key: "...)
	dst = append(dst, key...)
	return append(dst, "\r\nUser-Agent: chatfleet-simulator\r\n\r\n"...)
}

// parseHandshake reads the server's answer. n is its size, 0 when data does not hold all of it yet.
func parseHandshake(data, key []byte, protocol string) (n int, err error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		if len(data) > maxHandshakeBytes {
			return 0, errHandshakeSize
		}
		return 0, nil
	}
	if end > maxHandshakeBytes {
		return 0, errHandshakeSize
	}
	line, headers, _ := bytes.Cut(data[:end], []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) || len(line) < len("HTTP/1.1 101") {
		return 0, errNotHTTP
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, errNotHTTP
	}
	if status != 101 {
		return 0, statusError{status, retryAfter(headers)}
	}
	return end + 4, checkUpgrade(headers, key, protocol)
}

func checkUpgrade(headers, key []byte, protocol string) error {
	upgrade, _ := header(headers, "Upgrade")
	connection, _ := header(headers, "Connection")
	if !bytes.EqualFold(upgrade, []byte("websocket")) || !bytes.Contains(bytes.ToLower(connection), []byte("upgrade")) {
		return errUpgrade
	}
	accept, _ := header(headers, "Sec-WebSocket-Accept")
	var want [32]byte
	if !bytes.Equal(accept, appendAccept(want[:0], key)) {
		return errAccept
	}
	if agreed, _ := header(headers, "Sec-WebSocket-Protocol"); string(agreed) != protocol {
		return errProtocol
	}
	if _, some := header(headers, "Sec-WebSocket-Extensions"); some {
		return errExtension
	}
	return nil
}

// header returns the first header of that name.
func header(headers []byte, name string) (value []byte, found bool) {
	for len(headers) > 0 {
		var line []byte
		line, headers, _ = bytes.Cut(headers, []byte("\r\n"))
		k, v, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(k, []byte(name)) {
			return bytes.TrimSpace(v), true
		}
	}
	return nil, false
}

func retryAfter(headers []byte) time.Duration {
	v, _ := header(headers, "Retry-After")
	seconds, err := strconv.Atoi(string(v))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, maxRetryAfter)
}

// mix is the finalizer of SplitMix64: a bijection of 64 bits in which every bit of the input moves half of the output's.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
