package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var project = flag.String("project", "", "the checkout whose newest commit TestProject packs; the arguments behind the flags name its programs")

// hangBound is when a program that should get ready, or end, has failed to.
const hangBound = time.Minute

// TestProject packs the project itself, as it was committed last, twice: from two clones, in different folders and with files of different ages.
func TestProject(t *testing.T) {
	if *project == "" {
		t.Skip("packs the whole project, about a minute; `make images-test` does it")
	}
	names := flag.Args()
	var outputs []options
	from := *project
	for i := range 2 {
		dir := filepath.Join(t.TempDir(), strings.Repeat("deeper/", i)+"checkout")
		if out, err := exec.Command("git", "clone", "-q", from, dir).CombinedOutput(); err != nil {
			t.Fatalf("git clone: %v\n%s", err, out)
		}
		from = dir // and not the project again, which may have got a commit meanwhile
		age(t, dir, time.Unix(int64(1e9*(i+1)), 0))
		opts := optionsFor(dir, names...)
		t.Log(pack(t, opts))
		outputs = append(outputs, opts)
	}
	checkSame(t, outputs[0], outputs[1])
	built, err := inspect(names[0], both[0], filepath.Join(outputs[0].binaries, "linux_amd64", names[0]))
	if err != nil {
		t.Fatal(err)
	}
	outputs[0].tag = tagOf(versionOf(built))
	checkOutput(t, outputs[0])
	for _, n := range names {
		t.Run(n, func(t *testing.T) {
			root := extract(t, own(t, outputs[0], n))
			if out, err := container(t, root, "/"+n, "--help").CombinedOutput(); err != nil || !strings.Contains(string(out), n) {
				t.Errorf("%s --help: %v\n%s", n, err, out)
			}
			if n == "chatd" {
				checkServes(t, root)
			}
		})
	}
}

// age makes all files of a checkout as old as is said.
func age(t *testing.T, dir string, changed time.Time) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, changed, changed)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkServes runs a member that is store and shard, with one place to write: its data directory.
func checkServes(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"data", "keys"} {
		path := filepath.Join(root, dir)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 65532, 65532); err != nil {
			t.Skipf("needs root: %v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "secret"), []byte(strings.Repeat("s", 32)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := container(t, root, "/chatd", "keygen", "--out", "/keys").CombinedOutput(); err != nil {
		t.Fatalf("chatd keygen: %v\n%s", err, out)
	}
	admin := free(t)
	var logged bytes.Buffer
	serve := container(t, root, "/chatd", "serve", "--role", "combined", "--name", "one", "--replicas", "1", "--data", "/data",
		"--listen", free(t), "--admin", admin, "--cluster-secret-file", "/secret", "--token-keys", "/keys/keys.json")
	serve.Stdout, serve.Stderr = &logged, &logged
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	ready := waitReady(t.Context(), "http://"+admin+"/readyz", ended)
	if ready == nil {
		if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case ready = <-ended:
		case <-time.After(hangBound):
			ready = fmt.Errorf("still there %v after SIGTERM", hangBound)
		}
	}
	if ready != nil {
		_ = serve.Process.Kill()
		t.Fatalf("chatd serve: %v\n%s", ready, logged.String())
	}
	checkWritten(t, root)
}

// waitReady waits until a member is ready, or has ended instead.
func waitReady(ctx context.Context, url string, ended chan error) error {
	for deadline := time.Now().Add(hangBound); time.Now().Before(deadline); {
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("ended before it was ready: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("not ready after %v", hangBound)
}

// checkWritten: a store's files, and no others beside those of the image and of this test.
func checkWritten(t *testing.T, root string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{"chatd", "data", "etc", "keys", "secret"}; !slices.Equal(got, want) {
		t.Errorf("after a run the root has %v, not %v", got, want)
	}
	if _, err := os.Stat(filepath.Join(root, "data", "chatfleet.json")); err != nil {
		t.Errorf("the member kept nothing: %v", err)
	}
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
