package doctor

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// small is a machine with two cores on which little is raised, at rest.
func small() (Facts, Trial) {
	return Facts{
			OpenFiles: 20_000, OpenFilesHard: 20_000, SystemFiles: 2_000_000, FirstPort: 32_768, LastPort: 60_999, ManyLoopbacks: true,
			MemoryBytes: 20 << 30, Cores: 2, TCPBytes: 2 << 30, Backlog: 4096, ClockSource: "tsc",
		}, Trial{
			ClockReading: 40 * time.Nanosecond, Hiccup: time.Millisecond, SendLag: time.Millisecond, PostRate: trialRate, ReceiveRate: 150_000,
		}
}

// storm is 20,000 sessions on four shards, all cut at once.
func storm() Needs {
	return Needs{Sessions: 20_000, Stores: 3, Shards: 4, AtOnce: 16_000, DeliveriesPerSecond: 3000, PostsPerSecond: 10}
}

// Each case changes one thing, and the line that must be about it says so.
func TestExamine(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(f *Facts, t *Trial, n *Needs)
		what   string
		want   Level
		say    string
	}{
		{"nothing", func(*Facts, *Trial, *Needs) {}, "worker processes", Good, ""},
		{"no room for a worker", func(f *Facts, _ *Trial, _ *Needs) { f.OpenFiles = 256 }, "open files a process", Missing, "ulimit -n"},
		{"a limit that can be raised", func(f *Facts, _ *Trial, _ *Needs) { f.OpenFilesHard = 1 << 20 }, "open files a process", Good, "ulimit -n 1048576"},
		{"too few workers", func(_ *Facts, _ *Trial, n *Needs) { n.Workers = 2 }, "worker processes", Missing, "raise it to 3"},
		{"too many workers", func(f *Facts, _ *Trial, _ *Needs) { f.OpenFiles = 600 }, "sessions a shard", Missing, "take 59 shards"},
		{"shards too full", func(_ *Facts, _ *Trial, n *Needs) { n.Sessions = 100_000 }, "sessions a shard", Missing, "take 6 shards"},
		{"full when one is away", func(_ *Facts, _ *Trial, n *Needs) { n.Sessions, n.Shards, n.LosesShard = 100_000, 6, true }, "sessions a shard", Doubtful, "take 7 shards"},
		{"more delayed than fit", func(_ *Facts, _ *Trial, n *Needs) { n.Delayed = 4745 }, "sessions delayed", Missing, "delay a smaller share"},
		{"as many delayed as fit", func(_ *Facts, _ *Trial, n *Needs) { n.Delayed = 4744 }, "sessions delayed", Good, ""},
		{"few files in all", func(f *Facts, _ *Trial, _ *Needs) { f.SystemFilesOpen = 1_970_000 }, "open files of all", Missing, "fs.file-max"},
		{"few files known", func(f *Facts, _ *Trial, _ *Needs) { f.SystemFiles = 0 }, "open files of all", Good, ""},
		{"one loopback address", func(f *Facts, _ *Trial, _ *Needs) { f.ManyLoopbacks = false }, "ports to a target", Missing, "127.0.0.0/8"},
		{"a fleet elsewhere", func(_ *Facts, _ *Trial, n *Needs) { n.Shards, n.Sessions = 0, 60_000 }, "ports to a target", Doubtful, "3 targets"},
		{"with addresses", func(_ *Facts, _ *Trial, n *Needs) { n.Shards, n.Sessions, n.Sources = 0, 60_000, 3 }, "ports to a target", Good, ""},
		{"little memory", func(f *Facts, _ *Trial, _ *Needs) { f.MemoryBytes = 1 << 30 }, "memory", Missing, "fewer sessions"},
		{"just enough memory", func(f *Facts, _ *Trial, _ *Needs) { f.MemoryBytes = 2<<30 + 1<<28 }, "memory", Doubtful, "close to all"},
		{"one core", func(f *Facts, _ *Trial, _ *Needs) { f.Cores = 1 }, "cores", Doubtful, "shared with the fleet"},
		{"little for sockets", func(f *Facts, _ *Trial, _ *Needs) { f.TCPBytes = 100 << 20 }, "memory of all sockets", Doubtful, "tcp_mem"},
		{"a short backlog", func(f *Facts, _ *Trial, _ *Needs) { f.Backlog = 128 }, "connections waiting at a port", Doubtful, "somaxconn"},
		{"a slow clock", func(f *Facts, _ *Trial, _ *Needs) { f.ClockSource = "hpet" }, "clock", Doubtful, "slow to read"},
		{"a busy machine", func(_ *Facts, t *Trial, _ *Needs) { t.Hiccup = 50 * time.Millisecond }, "hiccups at rest", Doubtful, "keeps the cores busy"},
		{"too busy for the bound", func(_ *Facts, t *Trial, n *Needs) { t.Hiccup, n.DeliverWithin = 300*time.Millisecond, time.Second }, "hiccups at rest", Missing, "stop what else runs"},
		{"a late sender", func(_ *Facts, t *Trial, _ *Needs) { t.SendLag = time.Second }, "sender", Doubtful, "generator unhealthy"},
		{"more than can be received", func(_ *Facts, _ *Trial, n *Needs) { n.DeliveriesPerSecond = 400_000 }, "receiver", Missing, "more cores"},
		{"nearly that", func(_ *Facts, _ *Trial, n *Needs) { n.DeliveriesPerSecond = 100_000 }, "receiver", Doubtful, "most of a core"},
		{"a broadcast that takes too long", func(_ *Facts, _ *Trial, n *Needs) { n.LargestPost, n.DeliverWithin = 900_000, time.Second }, "one broadcast", Doubtful, "longer than the bound"},
		{"a self-test that failed", func(_ *Facts, t *Trial, _ *Needs) { t.Problems = []string{"one was lost"} }, "self-test", Missing, "run it again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			facts, trial := small()
			needs := storm()
			tt.change(&facts, &trial, &needs)
			findings := Examine(facts, trial, needs)
			found := false
			for _, f := range findings {
				if f.What == tt.what {
					found = true
					if f.Level != tt.want || !strings.Contains(f.Do, tt.say) {
						t.Errorf("%+v, want %s with %q", f, tt.want, tt.say)
					}
				}
			}
			if !found {
				t.Errorf("no line about %s in %+v", tt.what, findings)
			}
			if tt.want == Missing && Possible(findings) {
				t.Error("it is called possible")
			}
		})
	}
}

// Every scenario that ships can be run on the machine that it was written for, and a bare machine is fine.
func TestShippedScenariosFit(t *testing.T) {
	files, err := filepath.Glob("../../../scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	facts, trial := small()
	for _, file := range files {
		s, err := scenario.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if s.Engine == v1alpha1.ModelEngine {
			continue // It needs no machine.
		}
		findings := Examine(facts, trial, NeedsOf(s))
		var table bytes.Buffer
		if err := Write(&table, findings); err != nil {
			t.Fatal(err)
		}
		if !Possible(findings) {
			t.Errorf("%s cannot be run:\n%s", file, table.String())
		}
	}
	for _, f := range Examine(facts, trial, Needs{}) {
		if f.Level != Good || f.Need != "" {
			t.Errorf("asked for nothing: %+v", f)
		}
	}
}

func TestReadFiles(t *testing.T) {
	f := readFiles(fstest.MapFS{
		"proc/sys/fs/file-nr":                   {Data: []byte("906\t0\t2466193\n")},
		"proc/sys/net/ipv4/tcp_rmem":            {Data: []byte("4096 131072 33554432\n")},
		"proc/sys/net/ipv4/tcp_mem":             {Data: []byte("1 2 10\n")},
		"proc/sys/net/ipv4/ip_local_port_range": {Data: []byte("32768\t60999\n")},
		"proc/meminfo":                          {Data: []byte("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")},
		"sys/fs/cgroup/memory.max":              {Data: []byte("1048576\n")},
		"sys/fs/cgroup/memory.current":          {Data: []byte("48576\n")},
	})
	if f.SystemFilesOpen != 906 || f.ReceiveBuffer != [3]uint64{4096, 131072, 33554432} || f.TCPBytes == 0 || f.LastPort != 60999 || f.MemoryBytes != 1_000_000 {
		t.Errorf("%+v", f)
	}
	if f := readFiles(fstest.MapFS{"sys/fs/cgroup/memory.max": {Data: []byte("max\n")}}); f != (Facts{}) {
		t.Errorf("of nothing: %+v", f)
	}
}

// The trial works on whatever machine the tests run on; how fast it is, is not judged.
func TestTry(t *testing.T) {
	trial, err := Try(t.Context())
	if err != nil || len(trial.Problems) > 0 || trial.ReceiveRate <= 0 || trial.ClockReading <= 0 {
		t.Errorf("%+v, %v", trial, err)
	}
}
