package pki

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// resumeLife is how long a resume token is good at most: for so long, and until everybody has seen that it is used no more, an old key is needed.
	resumeLife = 10 * time.Minute
	// mostSessionKeys are in force at once; chatd takes eight.
	mostSessionKeys = 4
)

// The entries of the session keys' Secret: what shards read, and for each key, oldest first from 0, the key, since when it has been given out, and since when it is
// used, if it is.
const (
	SessionKeysFile = "keys"
	sessionKey      = "key-%d"
	sessionKeySince = "key-%d.since"
	sessionKeyUsed  = "key-%d.used"
)

// SessionKey is one by which a fleet's shards make resume tokens and invitations.
type SessionKey struct {
	Key string
	// Since is when it was first given out, to be accepted; Used when it was first given out to be used, zero if it was not yet.
	Since, Used time.Time
}

// SessionKeys are those of a fleet, oldest first. There is one, but for the time of a change.
type SessionKeys []SessionKey

// Due is what they are at a moment: with a new one if it is wanted or there is none, used once everybody accepts it, without those that nothing needs any more.
// Taken says that a wish has been met: in the midst of too many changes it has to wait. Next is when to look again; zero if nothing is under way.
func (k SessionKeys) Due(now time.Time, wanted bool) (due SessionKeys, taken bool, next time.Time) {
	now = now.UTC().Truncate(time.Second)
	due = slices.Clone(k)
	if wanted = wanted && len(due) < mostSessionKeys; len(due) == 0 || wanted {
		due = append(due, SessionKey{Key: newSessionKey(), Since: now})
	}
	newest := &due[len(due)-1]
	if newest.Used.IsZero() && (len(due) == 1 || now.Sub(newest.Since) >= Spread) {
		newest.Used = now
	}
	used := due.used()
	if now.Sub(due[used].Used) >= Spread+resumeLife {
		due = due[used:]
	}
	if len(due) > 1 {
		next = now.Add(Spread / 5)
	}
	return due, wanted, next
}

// used is the place of the one that makes.
func (k SessionKeys) used() int {
	for i := len(k) - 1; i > 0; i-- {
		if !k[i].Used.IsZero() {
			return i
		}
	}
	return 0
}

// File is what shards read: one key a line, first the one that makes, then those that are accepted besides.
func (k SessionKeys) File() []byte {
	used := k.used()
	lines := []string{k[used].Key}
	for i, one := range k {
		if i != used {
			lines = append(lines, one.Key)
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// Data is the keys as the entries of a Secret.
func (k SessionKeys) Data() map[string][]byte {
	data := map[string][]byte{SessionKeysFile: k.File()}
	for i, one := range k {
		data[fmt.Sprintf(sessionKey, i)] = []byte(one.Key)
		data[fmt.Sprintf(sessionKeySince, i)] = []byte(one.Since.Format(time.RFC3339))
		if !one.Used.IsZero() {
			data[fmt.Sprintf(sessionKeyUsed, i)] = []byte(one.Used.Format(time.RFC3339))
		}
	}
	return data
}

// ReadSessionKeys is the opposite. A Secret without entries has no keys yet; one with something else in it is an error that names the entry, for it is not to be
// overwritten.
func ReadSessionKeys(data map[string][]byte) (SessionKeys, error) {
	var k SessionKeys
	for i := 0; len(data[fmt.Sprintf(sessionKey, i)]) > 0; i++ {
		one := SessionKey{Key: string(bytes.TrimSpace(data[fmt.Sprintf(sessionKey, i)]))}
		for name, at := range map[string]*time.Time{fmt.Sprintf(sessionKeySince, i): &one.Since, fmt.Sprintf(sessionKeyUsed, i): &one.Used} {
			text := strings.TrimSpace(string(data[name]))
			if text == "" && at == &one.Used {
				continue
			}
			var err error
			if *at, err = time.Parse(time.RFC3339, text); err != nil {
				return nil, fmt.Errorf("entry %s: %w", name, err)
			}
		}
		k = append(k, one)
	}
	if len(k) > 0 && k[0].Used.IsZero() {
		return nil, fmt.Errorf("entry %s is missing", fmt.Sprintf(sessionKeyUsed, 0))
	}
	rest := len(data)
	if len(k) > 0 {
		rest -= len(k.Data())
	}
	if rest != 0 {
		return nil, fmt.Errorf("%d entries and %d whole keys: restore the Secret, or delete it to have a new key made (devices that come back then sign in by their tokens)", len(data), len(k))
	}
	return k, nil
}

func newSessionKey() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	return base64.StdEncoding.EncodeToString(raw)
}
