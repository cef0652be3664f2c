package cascade

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// stream is the random numbers of one name, the same for the same seed, whatever else was drawn before. Seed and name are hashed, since
// generators whose seeds lie close to each other may be alike.
func stream(seed uint64, name string) *rand.PCG {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, seed), name...))
	return rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16]))
}
