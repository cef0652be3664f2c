package swarm

import (
	"encoding/binary"
	"errors"
)

// Opcodes of RFC 6455.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// What a server's frame may do wrong. Each is a reason of its own in the error counts.
var (
	errMasked      = errors.New("protocol: the server masked a frame")
	errReserved    = errors.New("protocol: reserved bits or opcode in a frame, though no extension was agreed")
	errControl     = errors.New("protocol: a control frame that is fragmented or over 125 bytes")
	errLength      = errors.New("protocol: a frame's length is not in its shortest form")
	errContinues   = errors.New("protocol: a continuation without a beginning")
	errInterleaved = errors.New("protocol: a message began within another")
	errTooBig      = errors.New("protocol: a message is larger than the swarm takes")
	errOpcode      = errors.New("protocol: the message's type is not that of the agreed sub-protocol")
	errNotProto    = errors.New("protocol: a message does not parse as ServerFrame")
)

// frameHeader is the header of a frame from the server.
type frameHeader struct {
	op     byte
	fin    bool
	length uint64
}

// control tells ping, pong and close from messages.
func (h frameHeader) control() bool { return h.op&0x8 != 0 }

// parseHeader reads a frame's header. n is its size, 0 when data does not hold all of it yet.
func parseHeader(data []byte) (h frameHeader, n int, err error) {
	if len(data) < 2 {
		return h, 0, nil
	}
	h.fin, h.op = data[0]&0x80 != 0, data[0]&0x0F
	switch {
	case data[0]&0x70 != 0, h.op > opBinary && h.op < opClose, h.op > opPong:
		return h, 0, errReserved
	case data[1]&0x80 != 0:
		return h, 0, errMasked
	}
	h.length, n = uint64(data[1]), 2
	if h.control() && (!h.fin || h.length > 125) {
		return h, 0, errControl
	}
	switch {
	case h.length == 126 && len(data) >= 4:
		h.length, n = uint64(binary.BigEndian.Uint16(data[2:])), 4
		if h.length < 126 {
			return h, 0, errLength
		}
	case h.length == 127 && len(data) >= 10:
		h.length, n = binary.BigEndian.Uint64(data[2:]), 10
		if h.length <= 0xFFFF || h.length > 1<<62 {
			return h, 0, errLength
		}
	case h.length >= 126:
		return h, 0, nil
	}
	return h, n, nil
}

// appendFrame appends a whole frame from a client, masked as RFC 6455 demands.
func appendFrame(dst []byte, op byte, payload []byte, mask uint32) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xFFFF:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = binary.LittleEndian.AppendUint32(dst, mask)
	at := len(dst)
	dst = append(dst, payload...)
	for i := range dst[at:] {
		dst[at+i] ^= byte(mask >> (8 * (i & 3)))
	}
	return dst
}
