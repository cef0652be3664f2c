package bus_test

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
)

// aloneConfig is that of a store without others, on a directory.
func aloneConfig(t testing.TB, dir string) bus.Config {
	return bus.Config{
		Name: "store-0", Region: "test", Partitions: 2, Secret: []byte("sixteen bytes at least"), Dir: dir, Durability: bus.Replicated, Replicas: 1,
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// runOnce starts a store, waits until it is of use, and stops it.
func runOnce(t testing.TB, c bus.Config) {
	t.Helper()
	c.Registerer = prometheus.NewRegistry()
	s, err := bus.StartStore(c)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s.Ready)
	s.Stop()
}

// refused starts a store and wants it refused, with these words.
func refused(t testing.TB, c bus.Config, want ...string) {
	t.Helper()
	c.Registerer = prometheus.NewRegistry()
	s, err := bus.StartStore(c)
	if err == nil {
		s.Stop()
		t.Fatalf("it started; want an error with %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("said:\n%v\nwant in it: %s", err, w)
		}
	}
}

// A data directory belongs to one store of one cluster. Another one is refused, with what to do, and the directory stays as it is.
func TestDataDirectoryOfAnother(t *testing.T) {
	dir := t.TempDir()
	runOnce(t, aloneConfig(t, dir))
	before := content(t, dir)
	for name, tt := range map[string]struct {
		change func(*bus.Config)
		want   []string
	}{
		"region":     {func(c *bus.Config) { c.Region = "other" }, []string{`belongs to region "test", and this store is of "other"`, "mount its own directory"}},
		"store":      {func(c *bus.Config) { c.Name = "store-1" }, []string{`belongs to the store "store-0", and this one is "store-1"`}},
		"partitions": {func(c *bus.Config) { c.Partitions = 4 }, []string{"holds a region of 2 partitions, and 4 are configured: set partitions to 2"}},
		"secret":     {func(c *bus.Config) { c.Secret = []byte("another secret of a cluster") }, []string{"belongs to a cluster with another secret", `remove "secretCheck" from`}},
		"store among others": {func(c *bus.Config) {
			c.Replicas, c.ClusterListen, c.Peers = 3, freeAddress(t), []string{freeAddress(t), freeAddress(t), freeAddress(t)}
		}, []string{"belongs to a store without others, which would lose everything by joining others"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := aloneConfig(t, dir)
			tt.change(&c)
			refused(t, c, append(tt.want, dir)...)
			if after := content(t, dir); after != before {
				t.Errorf("the directory was changed from\n%s\nto\n%s", before, after)
			}
		})
	}
	runOnce(t, aloneConfig(t, dir))
}

// content is all files of a directory with their sizes, but for the probe's and the lock's.
func content(t testing.TB, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, path+" "+string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// editLabel changes what a data directory says of itself; a nil change removes it.
func editLabel(t testing.TB, dir string, change map[string]any) {
	t.Helper()
	file := filepath.Join(dir, "chatfleet.json")
	if change == nil {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	label := map[string]any{}
	if err := json.Unmarshal(data, &label); err != nil {
		t.Fatal(err)
	}
	for key, v := range change {
		if label[key] = v; v == nil {
			delete(label, key)
		}
	}
	if data, err = json.Marshal(label); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A newer format is refused, whatever else it says; a damaged label, too.
func TestFormatOfTheFuture(t *testing.T) {
	dir := t.TempDir()
	c := aloneConfig(t, dir)
	runOnce(t, c)
	editLabel(t, dir, map[string]any{"format": 3, "shards": []string{"something new"}})
	refused(t, c, "has the storage format 3, and this chatd knows formats up to 2: start the release that wrote it, or a newer one")
	editLabel(t, dir, map[string]any{"format": 2})
	refused(t, c, "shards")
	for _, damaged := range []string{"", "{", "null", `{"format": 0}`, `{"format": -1}`, "\x00\x00"} {
		if err := os.WriteFile(filepath.Join(dir, "chatfleet.json"), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, c, "does not say whose the data directory is")
	}
}

// A directory from before the format was written down is upgraded, which is said; if it can be this store's.
func TestFormatOfThePastIsUpgraded(t *testing.T) {
	dir := t.TempDir()
	c := aloneConfig(t, dir)
	runOnce(t, c)
	editLabel(t, dir, nil)

	for name, tt := range map[string]struct {
		change func(*bus.Config)
		want   string
	}{
		"region":     {func(c *bus.Config) { c.Region = "other" }, `belongs to region "test"`},
		"partitions": {func(c *bus.Config) { c.Partitions = 1 }, "holds a region of 2 partitions"},
		"alone": {func(c *bus.Config) {
			c.Replicas, c.ClusterListen, c.Peers = 3, freeAddress(t), []string{freeAddress(t), freeAddress(t), freeAddress(t)}
		}, "belongs to a store without others"},
	} {
		t.Run(name, func(t *testing.T) {
			c := aloneConfig(t, dir)
			tt.change(&c)
			refused(t, c, tt.want)
		})
	}

	var said strings.Builder
	c.Logger = slog.New(slog.NewTextHandler(&synced{w: &said}, nil))
	runOnce(t, c)
	if !strings.Contains(said.String(), "upgraded the data directory's storage format") || !strings.Contains(said.String(), "from=0 to=2") {
		t.Errorf("said:\n%s", said.String())
	}
	c = aloneConfig(t, dir)
	c.Name = "store-1"
	refused(t, c, `belongs to the store "store-0"`)
}

// One store of several is told from one alone by what the embedded server keeps, also before the format was written down.
func TestStoreOfSeveralIsNotStartedAlone(t *testing.T) {
	r := startRegion(t, 3, 2, nil)
	r.stopStores()
	c := r.configs[0]
	alone := c
	alone.Replicas, alone.Peers, alone.ClusterListen = 1, nil, ""
	refused(t, alone, "belongs to one store of several: set cluster.peers")
	editLabel(t, c.Dir, nil)
	refused(t, alone, "belongs to one store of several: set cluster.peers")
	r.startStores(t)
}

// A secret that was changed on purpose is taken once the operator says so.
func TestSecretChangedOnPurpose(t *testing.T) {
	dir := t.TempDir()
	c := aloneConfig(t, dir)
	runOnce(t, c)
	c.Secret = []byte("the cluster's new secret")
	refused(t, c, "another secret")
	editLabel(t, dir, map[string]any{"secretCheck": nil})
	runOnce(t, c)
	refused(t, aloneConfig(t, dir), "another secret")
}

// Two stores must not write one directory.
func TestDataDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := bus.StartStore(aloneConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, aloneConfig(t, dir), "is in use by another chatd")
	s.Stop()
	runOnce(t, aloneConfig(t, dir))
}

// What is no directory for a store is refused before anything is written to it.
func TestDataDirectoryThatIsNone(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, aloneConfig(t, home), `is not empty and no store's (it holds "thesis.tex")`)
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
	refused(t, aloneConfig(t, filepath.Join(home, "thesis.tex")), "data directory", "not a directory")

	fresh := t.TempDir()
	if err := os.Mkdir(filepath.Join(fresh, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	runOnce(t, aloneConfig(t, fresh))
}

// A port in use is said at once, and which one it is.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	dir := t.TempDir()
	c := aloneConfig(t, dir)
	c.LeafListen = taken
	refused(t, c, "listening for shards: ", taken, "address already in use; end what listens there, or choose another port")

	c.LeafListen, c.ClusterListen = "", taken
	c.Replicas, c.Peers = 3, []string{taken, freeAddress(t), freeAddress(t)}
	c.Dir = t.TempDir()
	refused(t, c, "listening for the other stores: ", taken, "address already in use")

	// What failed holds nothing: the same directory serves the next start.
	runOnce(t, aloneConfig(t, dir))
}

// synced is a writer for several goroutines.
type synced struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
