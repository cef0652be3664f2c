package play

import (
	"fmt"
	"strings"
	"testing"
)

// TestChange plays a change as `operator plan` shows it.
func TestChange(t *testing.T) {
	before, after := spec(), spec()
	after.ShardRevision, after.StoreRevision = "b", "b"
	done, took, err := Change(&before, after, 600)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range done {
		lines = append(lines, fmt.Sprintf("%s %s", d.After, d.Action))
	}
	text := strings.Join(lines, "\n")
	at := 0
	for _, next := range []string{
		"create shard 3 at revision b", "remember revision b as proven", "have store-2 give up", "restart store-2", "restart store-1", "restart store-0",
		"mark shard-0 to leave", "drain shard-0 at 50 sessions/s", "evict shard-0",
	} {
		i := strings.Index(text[at:], next)
		if i < 0 {
			t.Fatalf("%q does not follow in\n%s", next, text)
		}
		at += i
	}
	if took < done[len(done)-1].After {
		t.Errorf("it took %v, and the last action was after %v", took, done[len(done)-1].After)
	}
	if done, took, err := Change(&after, after, 600); err != nil || len(done) > 0 || took != 0 {
		t.Errorf("no change: %v, %v, %v", done, took, err)
	}
	if done, _, err := Change(nil, before, 0); err != nil || len(done) != 6 {
		t.Errorf("a new fleet: %v, %v", done, err)
	}
	before.Paused = true
	if _, _, err := Change(nil, before, 0); err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("a paused one: %v", err)
	}
}
