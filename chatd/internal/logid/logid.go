// Package logid makes and checks the ids of logs and says which partition a log belongs to.
//
// An id is ours, never a client's: it becomes a token of NATS subjects. Its first letter is the log's kind, so that a shard
// knows without asking whether it looks at a channel, a group or a user log. Everything in chatd that names a log uses this
// package; nothing outside chatd may rely on how an id is made.
package logid

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/cespare/xxhash/v2"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// MaxLen is the most bytes in an id.
const MaxLen = 32

// Me is the alias by which a client names its own user log. It is not a valid id.
const Me = "me"

// digestBytes of the SHA-256 go into an id: 120 bits, 24 letters. Two users would need about 2^60 logs to meet by chance.
const digestBytes = 15

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Create is the id of the log that user creates with randomID. The same arguments give the same id, which is what makes a
// repeated creation find the first one's log.
func Create(kind chatv1.LogKind, user string, randomID uint64) string {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], randomID)
	return prefix(kind) + digest("create", user, string(n[:]))
}

// User is the id of a user's own log.
func User(user string) string {
	return prefix(chatv1.LogKind_LOG_KIND_USER) + digest("user", user)
}

// Name is the id of the log of a public name. Such an id has no kind: no client reads or names these logs.
func Name(name string) string {
	return namePrefix + digest("name", name)
}

// IsName reports whether an id is that of the log of a name.
func IsName(id string) bool { return strings.HasPrefix(id, namePrefix) }

const namePrefix = "n"

// Kind reads the kind off an id; unspecified if the id is none of ours.
func Kind(id string) chatv1.LogKind {
	if !Valid(id) {
		return chatv1.LogKind_LOG_KIND_UNSPECIFIED
	}
	switch id[0] {
	case 'c':
		return chatv1.LogKind_LOG_KIND_CHANNEL
	case 'g':
		return chatv1.LogKind_LOG_KIND_GROUP
	case 'u':
		return chatv1.LogKind_LOG_KIND_USER
	}
	return chatv1.LogKind_LOG_KIND_UNSPECIFIED
}

// Valid reports whether id may be a log's id: [a-z0-9]{1,32}, and not an alias.
func Valid(id string) bool {
	if len(id) == 0 || len(id) > MaxLen || id == Me {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Partition is the partition, from 0 to partitions-1, that a log belongs to for ever.
func Partition(id string, partitions int) int {
	return int(xxhash.Sum64String(id) % uint64(partitions))
}

func prefix(kind chatv1.LogKind) string {
	switch kind {
	case chatv1.LogKind_LOG_KIND_CHANNEL:
		return "c"
	case chatv1.LogKind_LOG_KIND_GROUP:
		return "g"
	case chatv1.LogKind_LOG_KIND_USER:
		return "u"
	}
	return "x"
}

// digest hashes its parts, each with its length so that no two lists of parts are the same bytes.
func digest(parts ...string) string {
	h := sha256.New()
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return strings.ToLower(letters.EncodeToString(h.Sum(nil)[:digestBytes]))
}
