package rates

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is asked and when, no key gets more than its burst and what has flowed in since; and who waits as long as he is told gets
// what he asked for.
func TestTakeIsBoundedAndWaitIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const perSecond, burst = 10.0, 20
		table := NewTable[string](perSecond, burst, time.Unix(1_000_000, 0))
		began := time.Unix(1_000_000, 0)
		now, taken := began, map[string]int{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			n := rapid.IntRange(1, burst).Draw(t, "n")
			wait, ok := table.Take(key, n, now)
			if !ok {
				if now = now.Add(wait + time.Microsecond); wait <= 0 {
					t.Fatal("refused, with no time to wait")
				}
				if _, ok = table.Take(key, n, now); !ok {
					t.Fatalf("refused %d after the time to wait", n)
				}
			}
			taken[key] += n
			if most := burst + perSecond*now.Sub(began).Seconds() + 1e-6; float64(taken[key]) > most {
				t.Fatalf("%s has taken %d of at most %v", key, taken[key], most)
			}
		}
	})
}

func TestSpent(t *testing.T) {
	table, now := NewTable[int](1, 2, time.Unix(1_000_000, 0)), time.Unix(1_000_000, 0)
	table.Take(7, 2, now)
	if wait, spent := table.Spent(7, now); !spent || wait != time.Second {
		t.Errorf("an empty bucket: spent %v, to wait %v; want 1 s", spent, wait)
	}
	if _, spent := table.Spent(8, now); spent {
		t.Error("a bucket that nobody has touched is spent")
	}
	if _, ok := table.Take(8, 3, now); !ok {
		t.Error("who asks for more than a bucket holds gets nothing, and never will")
	}
}

func TestKeysAreBounded(t *testing.T) {
	table, now := NewTable[int](1, 1, time.Unix(1_000_000, 0)), time.Unix(1_000_000, 0)
	for key := range maxKeys + 10 {
		table.Take(key, 1, now)
	}
	if n := len(table.buckets); n != maxKeys || table.recent.Len() != n {
		t.Errorf("%d keys in the map, %d in the list, want %d", n, table.recent.Len(), maxKeys)
	}
	if _, spent := table.Spent(maxKeys+5, now); !spent {
		t.Error("a key of just now is forgotten")
	}
	if _, spent := table.Spent(0, now); spent {
		t.Error("the oldest key is not forgotten")
	}
}
