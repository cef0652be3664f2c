package pki

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestResumeTokensAreAlwaysTaken lives through many wishes for new keys, with an operator that is away at times. Each shard has the file that was written up to Spread
// ago, no older. Whatever one has made in the last ten minutes, every other accepts.
func TestResumeTokensAreAlwaysTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type given struct {
			at    time.Time
			lines []string
		}
		var history []given
		// held are the files that a shard may have had at a moment.
		held := func(at time.Time) (all []given) {
			for i, g := range history {
				if !g.at.After(at) && (i+1 == len(history) || at.Sub(history[i+1].at) < Spread) {
					all = append(all, g)
				}
			}
			return all
		}
		var k SessionKeys
		now := start
		for range 60 {
			wanted := rapid.IntRange(0, 4).Draw(t, "wanted") == 0
			due, taken, next := k.Due(now, wanted)
			if taken && !wanted {
				t.Fatal("a wish that there was not was met")
			}
			back, err := ReadSessionKeys(due.Data())
			if err != nil || fmt.Sprint(back) != fmt.Sprint(due) {
				t.Fatalf("%v read as %v, %v", due, back, err)
			}
			k = back
			if lines := strings.Fields(string(k.File())); len(history) == 0 || fmt.Sprint(lines) != fmt.Sprint(history[len(history)-1].lines) {
				history = append(history, given{now, lines})
			}
			for _, before := range []time.Duration{0, time.Minute, resumeLife} {
				made := now.Add(-before)
				for _, one := range held(made) {
					for _, other := range held(now) {
						if !strings.Contains(strings.Join(other.lines, " "), one.lines[0]) {
							t.Fatalf("at %v, a token of %v by the key of %v is not taken by whom has the file of %v", now, made, one.at, other.at)
						}
					}
				}
			}
			if len(k) > 1 && !next.After(now) || len(k) == 1 && !next.IsZero() {
				t.Fatalf("%d keys at %v, looks again at %v", len(k), now, next)
			}
			now = now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "seconds")) * time.Second)
			if rapid.IntRange(0, 9).Draw(t, "away") == 0 {
				now = now.Add(72 * time.Hour)
			}
		}
	})
}

func TestASessionKeyIsAcceptedThenUsedThenAlone(t *testing.T) {
	k, _, _ := SessionKeys(nil).Due(start, false)
	first := k[0].Key
	for _, step := range []struct {
		later  time.Duration
		wanted bool
		want   string // the lines of the file: o is the old, n the new
	}{
		{time.Hour, false, "o"},
		{2 * time.Hour, true, "on"},
		{2*time.Hour + Spread - time.Second, false, "on"},
		{2*time.Hour + Spread, false, "no"},
		{2*time.Hour + 2*Spread + resumeLife - time.Second, false, "no"},
		{2*time.Hour + 2*Spread + resumeLife, false, "n"},
	} {
		k, _, _ = k.Due(start.Add(step.later), step.wanted)
		got := ""
		for _, line := range strings.Fields(string(k.File())) {
			got += map[bool]string{true: "o", false: "n"}[line == first]
		}
		if got != step.want {
			t.Errorf("after %v the file has %s, want %s", step.later, got, step.want)
		}
	}
	many := k
	for range 10 {
		many, _, _ = many.Due(start.Add(100*time.Hour), true)
	}
	if _, taken, _ := many.Due(start.Add(100*time.Hour), true); len(many) != mostSessionKeys || taken {
		t.Errorf("after many wishes at once there are %d, and the next is met: %v", len(many), taken)
	}
}

func TestSecretsOfSessionKeys(t *testing.T) {
	k, _, _ := SessionKeys(nil).Due(start, false)
	if none, err := ReadSessionKeys(nil); none != nil || err != nil {
		t.Errorf("no entries: %v, %v", none, err)
	}
	for name, test := range map[string]struct {
		change func(map[string][]byte)
		want   string
	}{
		"something else":    {func(d map[string][]byte) { d["tls.crt"] = nil }, "restore the Secret, or delete it"},
		"no key":            {func(d map[string][]byte) { delete(d, "key-0") }, "restore the Secret, or delete it"},
		"no file":           {func(d map[string][]byte) { delete(d, "keys") }, "restore the Secret, or delete it"},
		"no time":           {func(d map[string][]byte) { delete(d, "key-0.since") }, "entry key-0.since"},
		"not used":          {func(d map[string][]byte) { delete(d, "key-0.used") }, "entry key-0.used is missing"},
		"a time that isn't": {func(d map[string][]byte) { d["key-0.used"] = []byte("yesterday") }, "entry key-0.used"},
	} {
		data := maps.Clone(k.Data())
		test.change(data)
		if _, err := ReadSessionKeys(data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
