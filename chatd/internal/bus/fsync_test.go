package bus_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// childEnv makes the test binary run a fleet for TestAcknowledgedAfterSync, which watches its system calls.
const childEnv = "CHATFLEET_FSYNC_CHILD"

const syncedPosts = 20

// TestFsyncChild is the fleet that is watched: it posts, and says on standard output when a post was acknowledged.
func TestFsyncChild(t *testing.T) {
	durability := os.Getenv(childEnv)
	if durability == "" {
		t.Skip("runs as a child of TestAcknowledgedAfterSync")
	}
	r := startRegion(t, 3, 1, func(c *bus.Config) { c.Durability = bus.Durability(durability) })
	log := r.create(t, "ann", 1)
	for i := range syncedPosts {
		r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Post{Post: &chatv1.PostRequest{
			Log: log, RandomId: uint64(i) + 1, Message: &chatv1.Message{Text: marker(i)}}}})
		fmt.Fprintf(os.Stdout, "acknowledged %s\n", marker(i))
	}
}

func marker(i int) string { return fmt.Sprintf("marker-%04d-end", i) }

// With Fsync a post is acknowledged after two of three stores have it on disk: seen in the system calls of a real fleet. With
// Replicated it is not so, which shows that the test can tell.
func TestAcknowledgedAfterSync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed; `make test` installs it")
	}
	for durability, want := range map[bus.Durability]bool{bus.Fsync: true, bus.Replicated: false} {
		t.Run(string(durability), func(t *testing.T) {
			trace := filepath.Join(t.TempDir(), "trace")
			cmd := exec.Command(strace, "-f", "-y", "-s", "1000000", "-o", trace,
				"-e", "trace=write,writev,pwrite64,fsync,fdatasync,openat", os.Args[0], "-test.run", "^TestFsyncChild$", "-test.v")
			cmd.Env = append(os.Environ(), childEnv+"="+string(durability))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			synced := syncedStores(t, trace)
			if len(synced) != syncedPosts {
				t.Fatalf("%d posts were acknowledged, want %d", len(synced), syncedPosts)
			}
			all := true
			for i, stores := range synced {
				all = all && stores >= 2
				if want && stores < 2 {
					t.Errorf("post %d was acknowledged when %d stores had it on disk, want at least 2", i, stores)
				}
			}
			if all && !want {
				t.Error("with Replicated every post was synced before its acknowledgement: this test cannot tell the two apart")
			}
		})
	}
}

var (
	writeCall = regexp.MustCompile(`(?:write|pwrite64|writev)\(\d+<([^>]+)>`)
	syncCall  = regexp.MustCompile(`(?:fsync|fdatasync)\(\d+<([^>]+)>`)
	storeDir  = regexp.MustCompile(`/(\d)/jetstream/`)
)

// syncedStores reads a trace and says, for each post, on how many stores' disks it was when it was acknowledged.
func syncedStores(t *testing.T, path string) []int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var (
		written = map[string]map[string]bool{} // file -> markers written to it and not synced
		onDisk  = map[string]map[string]bool{} // marker -> stores
		result  []int
	)
	// syncing is a file and what it is about to have on disk.
	type syncing struct {
		file  string
		marks map[string]bool
	}
	inSync := map[string]syncing{} // by thread
	durable := func(s syncing) {
		store := storeDir.FindStringSubmatch(s.file)
		for mark := range s.marks {
			if store == nil {
				continue
			}
			if onDisk[mark] == nil {
				onDisk[mark] = map[string]bool{}
			}
			onDisk[mark][store[1]] = true
		}
	}
	osync := map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, "openat(") && strings.Contains(line, "O_SYNC") {
			if at := strings.LastIndex(line, "<"); at >= 0 {
				osync[strings.TrimSuffix(line[at+1:], ">")] = true
			}
			continue
		}
		thread, _, _ := strings.Cut(line, " ")
		if m := syncCall.FindStringSubmatch(line); m != nil {
			// What was written before the call begins is on disk when it ends.
			under := syncing{m[1], written[m[1]]}
			delete(written, m[1])
			if strings.Contains(line, "<unfinished") {
				inSync[thread] = under
			} else {
				durable(under)
			}
			continue
		}
		if strings.Contains(line, "sync resumed>") {
			durable(inSync[thread])
			delete(inSync, thread)
			continue
		}
		m := writeCall.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for i := range syncedPosts {
			mark := marker(i)
			if !strings.Contains(line, mark) {
				continue
			}
			switch {
			case strings.Contains(line, "acknowledged "+mark):
				result = append(result, len(onDisk[mark]))
			case osync[m[1]]:
				durable(syncing{m[1], map[string]bool{mark: true}})
			default:
				if written[m[1]] == nil {
					written[m[1]] = map[string]bool{}
				}
				written[m[1]][mark] = true
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return result
}
