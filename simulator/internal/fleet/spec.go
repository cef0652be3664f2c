package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// Durability says when a store acknowledges.
type Durability string

const (
	// Fsync acknowledges once a quorum has the post on disk.
	Fsync Durability = "Fsync"
	// Replicated acknowledges once a quorum has the post in memory; the disk follows.
	Replicated Durability = "Replicated"
)

// Spec is the shape of a local fleet.
type Spec struct {
	Stores     int
	Shards     int
	Partitions int
	// Copies of each partition, at most one a store.
	Replicas   int
	Durability Durability
}

// SpecSyntax describes what ParseSpec takes, for usage texts.
const SpecSyntax = "stores=3,shards=4[,partitions=16][,replicas=3][,durability=Fsync|Replicated]"

// Most processes that one machine is asked to run; beyond, it is a typing error.
const (
	maxShards     = 64
	maxPartitions = 1024
)

// ParseSpec reads "stores=3,shards=4" and the like. Stores and shards must be there; partitions are 16, replicas 3 (1 with one
// store) and the durability Fsync where nothing else is said.
func ParseSpec(text string) (Spec, error) {
	s := Spec{Partitions: 16, Durability: Fsync}
	seen := map[string]bool{}
	for _, item := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			return Spec{}, specError("%q is not key=value", item)
		}
		if seen[key] {
			return Spec{}, specError("%s is given twice", key)
		}
		seen[key] = true
		if err := s.set(key, value); err != nil {
			return Spec{}, err
		}
	}
	for _, key := range []string{"stores", "shards"} {
		if !seen[key] {
			return Spec{}, specError("%s=N is missing", key)
		}
	}
	if !seen["replicas"] {
		s.Replicas = min(3, s.Stores)
	}
	return s, s.check()
}

func (s *Spec) set(key, value string) error {
	numbers := map[string]*int{"stores": &s.Stores, "shards": &s.Shards, "partitions": &s.Partitions, "replicas": &s.Replicas}
	if into, ok := numbers[key]; ok {
		n, err := strconv.Atoi(value)
		if err != nil {
			return specError("%s=%q is not a whole number", key, value)
		}
		*into = n
		return nil
	}
	if key != "durability" {
		return specError("there is no %q", key)
	}
	switch d := Durability(value); d {
	case Fsync, Replicated:
		s.Durability = d
		return nil
	}
	return specError("durability=%q is neither Fsync nor Replicated", value)
}

func (s Spec) check() error {
	switch {
	case s.Stores != 1 && s.Stores != 3 && s.Stores != 5:
		return specError("stores=%d: it takes 1, 3 or 5, since stores decide by majority", s.Stores)
	case s.Shards < 1 || s.Shards > maxShards:
		return specError("shards=%d: it takes 1 to %d", s.Shards, maxShards)
	case s.Partitions < 1 || s.Partitions > maxPartitions:
		return specError("partitions=%d: it takes 1 to %d", s.Partitions, maxPartitions)
	case s.Replicas != 1 && s.Replicas != 3 && s.Replicas != 5:
		return specError("replicas=%d: it takes 1, 3 or 5", s.Replicas)
	case s.Replicas > s.Stores:
		return specError("replicas=%d: that is more than there are stores (%d)", s.Replicas, s.Stores)
	}
	return nil
}

// String gives the spec in the syntax of ParseSpec.
func (s Spec) String() string {
	return fmt.Sprintf("stores=%d,shards=%d,partitions=%d,replicas=%d,durability=%s", s.Stores, s.Shards, s.Partitions, s.Replicas, s.Durability)
}

func specError(format string, args ...any) error {
	return fmt.Errorf("local fleet: %s; want %s", fmt.Sprintf(format, args...), SpecSyntax)
}
