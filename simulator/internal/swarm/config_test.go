package swarm

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestWhatCannotRunIsRefusedByName(t *testing.T) {
	good := func() Config {
		return Config{
			Sessions: 10, Endpoints: []string{"127.0.0.1:1"}, Token: func(u string) (string, error) { return u, nil },
			Logs: []string{"c1"}, Attach: []Attachment{{Count: 10}}, Groups: []Group{{}},
		}
	}
	if _, err := New(t.Context(), good()); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(c *Config){
		"sessions":           func(c *Config) { c.Sessions = 0 },
		"firstSession":       func(c *Config) { c.FirstSession = math.MaxInt32 },
		"endpoints":          func(c *Config) { c.Endpoints = nil },
		"endpoint":           func(c *Config) { c.Endpoints = []string{"nowhere"} },
		"sourceAddresses[0]": func(c *Config) { c.SourceAddresses = []string{"here"} },
		"jsonShare":          func(c *Config) { c.JSONShare = math.NaN() },
		"token":              func(c *Config) { c.Token = nil },
		"token for sim-3": func(c *Config) {
			c.Token = func(u string) (string, error) { return strings.TrimPrefix(u, "sim-3"), nil }
		},
		"connectPerSecond":    func(c *Config) { c.ConnectPerSecond = -1 },
		"maxConnecting":       func(c *Config) { c.MaxConnecting = -1 },
		"loops":               func(c *Config) { c.Loops = 1000 },
		"logs":                func(c *Config) { c.Logs = nil },
		"logs[1]":             func(c *Config) { c.Logs = []string{"c1", "c1"} },
		"attach[0]":           func(c *Config) { c.Attach[0].Log = 1 },
		"groups":              func(c *Config) { c.Groups = nil },
		"groups[0]":           func(c *Config) { c.Groups[0].DeliverWithin = -1 },
		"posts[0]":            func(c *Config) { c.Posts = []PostRange{{Group: 1}} },
		"behaviour.pingEvery": func(c *Config) { c.Behaviour = DefaultBehaviour(); c.Behaviour.PingEvery = 0 },
	} {
		c := good()
		spoil(&c)
		if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAttachmentsAreSplitByRange(t *testing.T) {
	c := Config{Attach: []Attachment{{Log: 0, First: 0, Count: 10}, {Log: 1, First: 1, Count: 4, Step: 3}, {Log: 1, First: 4, Count: 1}}}
	whole, err := attachments(&c, 0, 12)
	if err != nil {
		t.Fatal(err)
	}
	for i, logs := range whole {
		want := 0
		if i < 10 {
			want++
		}
		if i == 1 || i == 4 || i == 7 || i == 10 {
			want++
		}
		if len(logs) != want {
			t.Errorf("session %d follows %v", i, logs)
		}
	}
	for from := range 12 {
		part, err := attachments(&c, from, 12-from)
		if err != nil {
			t.Fatal(err)
		}
		for i := range part {
			if len(part[i]) != len(whole[from+i]) {
				t.Errorf("from %d on, session %d follows %v, in all %v", from, from+i, part[i], whole[from+i])
			}
		}
	}
}

func TestJSONIsSpreadEvenly(t *testing.T) {
	for _, share := range []float64{0, 0.05, 0.5, 1} {
		n := 0
		for i := range 1000 {
			if speaksJSON(i, share) {
				n++
			}
		}
		if n != int(1000*share) {
			t.Errorf("%v: %d of 1000", share, n)
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	e := errorCounts{}
	for i := range 1000 {
		e.add(strings.Repeat("x", i), 1)
	}
	total := int64(0)
	for class, n := range e {
		total += n
		if len(class) > maxErrorBytes {
			t.Errorf("a class of %d bytes", len(class))
		}
	}
	if len(e) > maxErrorClasses+1 || total != 1000 || e[otherErrors] == 0 {
		t.Errorf("%d classes, %d errors, %d others", len(e), total, e[otherErrors])
	}
}

func TestPeaksMergeAndTravel(t *testing.T) {
	a, b := NewPeaks(100*time.Millisecond), NewPeaks(100*time.Millisecond)
	a.Add(250*time.Millisecond, 3*time.Second)
	b.Add(250*time.Millisecond, 4*time.Second)
	b.Add(950*time.Millisecond, time.Second)
	b.Add(1000*time.Hour, time.Minute)
	b.Add(-time.Second, 2*time.Second)
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var c Peaks
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct{ from, to, want time.Duration }{
		{0, 100 * time.Millisecond, 2 * time.Second}, {200 * time.Millisecond, 300 * time.Millisecond, 4 * time.Second},
		{300 * time.Millisecond, 900 * time.Millisecond, 0}, {300 * time.Millisecond, time.Second, time.Second},
		{0, 2000 * time.Hour, time.Minute}, {time.Second, time.Second, 0},
	} {
		if got := c.Longest(w.from, w.to); got != w.want {
			t.Errorf("longest in [%v, %v) is %v, want %v", w.from, w.to, got, w.want)
		}
	}
	if err := a.Merge(NewPeaks(time.Second)); err == nil {
		t.Error("peaks of different widths were merged")
	}
}

func TestCountersAddUp(t *testing.T) {
	a, b := Counters{Wanted: 1, Healed: 2, ConnectsHeld: 3}, Counters{Wanted: 10, Healed: 20, ConnectsHeld: 30}
	a.Add(b)
	if a.Wanted != 11 || a.Healed != 22 || a.ConnectsHeld != 33 || a.Pushes != 0 {
		t.Errorf("%+v", a)
	}
}
