// Package stamp is what a simulated post carries in Message.data: which run and which post of its schedule it is, and the
// moment at which the schedule wanted it sent. Whoever receives the post can tell from the stamp alone how long it took
// and whether a byte of it has changed.
//
// The poster writes stamps; the swarm and the reader of the final logs read them. It is not a wire format of the chat
// protocol: a fleet carries it as opaque bytes.
package stamp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Layout, little-endian: magic [4] | run uint64 | post uint32 | flags uint8 | size uint32 | check [3] | intendedNs int64 |
// padding. size is that of the whole stamp; check is a checksum over the header; the padding is a fixed pattern. So a
// stamp that was cut, lengthened or changed anywhere does not parse.
const (
	// HeaderBytes is the size of a stamp without padding, the least that a simulated post can carry.
	HeaderBytes = 32
	// MaxBytes is the size of the largest stamp.
	MaxBytes = 16 << 20
	// NoPost is the number of what is no post of the run: another kind of event, a message of another run or without a
	// stamp, or one whose stamp was damaged.
	NoPost = math.MaxUint32

	magic         = "CFS1"
	offRun        = 4
	offPost       = 12
	offFlags      = 16
	offSize       = 17
	offCheck      = 21
	offIntended   = 24
	flagBroadcast = 1
)

// Errors of Parse. They hold no details, so that telling a stranger's message from a stamp costs no allocation.
var (
	ErrNoStamp = errors.New("no stamp: the message was not posted by the simulator")
	ErrDamaged = errors.New("damaged stamp: the message is not what was posted")
)

// Stamp is one post's place in a run.
type Stamp struct {
	// Run tells the posts of one run from those of another on the same logs.
	Run uint64
	// Post is the number in the run's schedule, from 0. It is never NoPost.
	Post uint32
	// Broadcast marks the posts whose spreading is reported one by one.
	Broadcast bool
	// IntendedNs is the moment at which the schedule wants the post sent, by Now.
	IntendedNs int64
}

// Append appends the stamp to dst, padded to size bytes in all.
func (s Stamp) Append(dst []byte, size int) ([]byte, error) {
	if size < HeaderBytes || size > MaxBytes {
		return dst, fmt.Errorf("stamp: a post of %d bytes: want %d to %d", size, HeaderBytes, MaxBytes)
	}
	if s.Post == NoPost {
		return dst, fmt.Errorf("stamp: post number %d is reserved for what is no post", s.Post)
	}
	var h [HeaderBytes]byte
	copy(h[:], magic)
	binary.LittleEndian.PutUint64(h[offRun:], s.Run)
	binary.LittleEndian.PutUint32(h[offPost:], s.Post)
	if s.Broadcast {
		h[offFlags] = flagBroadcast
	}
	binary.LittleEndian.PutUint32(h[offSize:], uint32(size))
	binary.LittleEndian.PutUint64(h[offIntended:], uint64(s.IntendedNs))
	sum := check(h[:])
	copy(h[offCheck:], sum[:])
	dst = append(dst, h[:]...)
	for left := size - HeaderBytes; left > 0; {
		n := min(left, len(padding))
		dst = append(dst, padding[:n]...)
		left -= n
	}
	return dst, nil
}

// Parse reads the stamp that a message's data holds. It allocates nothing.
func Parse(data []byte) (Stamp, error) {
	if len(data) < HeaderBytes || string(data[:offRun]) != magic {
		return Stamp{}, ErrNoStamp
	}
	h := data[:HeaderBytes]
	if check(h) != [3]byte(h[offCheck:offIntended]) || uint64(binary.LittleEndian.Uint32(h[offSize:])) != uint64(len(data)) {
		return Stamp{}, ErrDamaged
	}
	for rest := data[HeaderBytes:]; len(rest) > 0; {
		n := min(len(rest), len(padding))
		if !bytes.Equal(rest[:n], padding[:n]) {
			return Stamp{}, ErrDamaged
		}
		rest = rest[n:]
	}
	return Stamp{
		Run:        binary.LittleEndian.Uint64(h[offRun:]),
		Post:       binary.LittleEndian.Uint32(h[offPost:]),
		Broadcast:  h[offFlags]&flagBroadcast != 0,
		IntendedNs: int64(binary.LittleEndian.Uint64(h[offIntended:])),
	}, nil
}

// PostOf is the number of the run's post that data is, or NoPost. Swarm and final reader both name the content of a
// position by it, so that they can be compared.
func PostOf(data []byte, run uint64) uint32 {
	s, err := Parse(data)
	if err != nil || s.Run != run {
		return NoPost
	}
	return s.Post
}

// check is the low 24 bits of the checksum over the header without the checksum's own three bytes.
func check(h []byte) [3]byte {
	sum := crc32.Update(0, castagnoli, h[:offCheck])
	sum = crc32.Update(sum, castagnoli, h[offIntended:HeaderBytes])
	return [3]byte{byte(sum), byte(sum >> 8), byte(sum >> 16)}
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	padding    = makePadding()
)

// makePadding has no short period and no byte that a compressor would fold away, so that padding costs a fleet what real
// content would.
func makePadding() []byte {
	p := make([]byte, 4096)
	x := uint64(0x9E3779B97F4A7C15)
	for i := range p {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p[i] = byte(x >> 32)
	}
	return p
}
