package fleet

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]Spec{
		"stores=3,shards=4":                         {Stores: 3, Shards: 4, Partitions: 16, Replicas: 3, Durability: Fsync},
		"stores=1,shards=1":                         {Stores: 1, Shards: 1, Partitions: 16, Replicas: 1, Durability: Fsync},
		"shards=2, stores=5":                        {Stores: 5, Shards: 2, Partitions: 16, Replicas: 3, Durability: Fsync},
		"stores=5,shards=2,replicas=5,partitions=4": {Stores: 5, Shards: 2, Partitions: 4, Replicas: 5, Durability: Fsync},
		"stores=3,shards=4,durability=Replicated":   {Stores: 3, Shards: 4, Partitions: 16, Replicas: 3, Durability: Replicated},
	} {
		got, err := ParseSpec(text)
		if err != nil || got != want {
			t.Errorf("ParseSpec(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParseSpecErrors(t *testing.T) {
	for text, says := range map[string]string{
		"":                                      `"" is not key=value`,
		"stores=3":                              "shards=N is missing",
		"shards=3":                              "stores=N is missing",
		"stores=3,shards=4,":                    `"" is not key=value`,
		"stores=3,shards=4,shards=4":            "shards is given twice",
		"stores=3,shards=four":                  `shards="four" is not a whole number`,
		"stores=2,shards=4":                     "1, 3 or 5",
		"stores=3,shards=0":                     "1 to 64",
		"stores=3,shards=65":                    "1 to 64",
		"stores=3,shards=4,partitions=0":        "1 to 1024",
		"stores=1,shards=4,replicas=3":          "more than there are stores",
		"stores=3,shards=4,replicas=2":          "1, 3 or 5",
		"stores=3,shards=4,durability=fsync":    "neither Fsync nor Replicated",
		"stores=3,shards=4,colour=blue":         `there is no "colour"`,
		"stores=3;shards=4":                     `stores="3;shards=4"`,
		"stores=3,shards=99999999999999999999":  "not a whole number",
		"stores=3,shards=4,replicas=5":          "more than there are stores",
		"stores=-1,shards=4":                    "1, 3 or 5",
		"stores=3,shards=4,durability=Fsync=no": "neither",
	} {
		_, err := ParseSpec(text)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), SpecSyntax) {
			t.Errorf("ParseSpec(%q): %v; want an error that says %s and the syntax", text, err, says)
		}
	}
}

// What a spec prints is what it was read from.
func TestSpecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stores := rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "stores")
		want := Spec{
			Stores: stores, Shards: rapid.IntRange(1, maxShards).Draw(t, "shards"),
			Partitions: rapid.IntRange(1, maxPartitions).Draw(t, "partitions"), Replicas: min(3, stores),
			Durability: rapid.SampledFrom([]Durability{Fsync, Replicated}).Draw(t, "durability"),
		}
		if got, err := ParseSpec(want.String()); err != nil || got != want {
			t.Fatalf("ParseSpec(%q) = %+v, %v", want, got, err)
		}
	})
}
