package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hangBound is when a test that waits has failed.
const hangBound = 2 * time.Minute

// binDir is where the binaries are built; TestMain removes it.
var binDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if binDir != "" {
		os.RemoveAll(binDir)
	}
	os.Exit(code)
}

var buildAll = sync.OnceValues(func() (string, error) {
	var err error
	if binDir, err = os.MkdirTemp("", "examples-*"); err != nil {
		return "", err
	}
	if err := noteSources("../../chatd", "../../proto", "../../go.mod", "go", "js"); err != nil {
		return "", err
	}
	for name, from := range map[string]string{"chatd": "../../chatd", "example-go": "./go"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(binDir, name), from).CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w: %s", from, err, out)
		}
	}
	return binDir, nil
})

// noteSources lets `go test` know what these tests depend on besides their own package, or it would go on showing an old result:
// what a test has looked at counts, what it has compiled does not.
func noteSources(roots ...string) error {
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// binary is the path of chatd or of the example in Go.
func binary(t *testing.T, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs chatd")
	}
	dir, err := buildAll()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// lacks ends a test that the machine has no means for: skipped for whoever types `go test`, failed where CHATFLEET_SKIP=never says
// that nothing may be skipped, as .ci/run does.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CHATFLEET_SKIP") == "never" {
		t.Fatalf("this machine lacks %s, and CHATFLEET_SKIP=never", what)
	}
	t.Skipf("this machine lacks %s", what)
}

// process is a program that runs until it is killed, by the test or with it.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	// The signal comes when the thread that has started the program ends, so that thread waits for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.exited)
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// server is a chatd that can be killed and started again on the same addresses and data.
type server struct {
	t             *testing.T
	chatd, dir    string
	listen, admin string
	log           bytes.Buffer
	process       *process
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, chatd: binary(t, "chatd"), dir: t.TempDir(), listen: freeAddress(t), admin: freeAddress(t)}
	if out, err := exec.Command(s.chatd, "keygen", "--out", s.path("keys")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(s.path("secret"), []byte("a secret of this test alone"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.process.kill()
		if t.Failed() {
			t.Logf("chatd said:\n%s", s.log.Bytes())
		}
	})
	s.start()
	return s
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs chatd and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	cmd := exec.Command(s.chatd, "serve", "--role", "combined", "--name", "dev", "--data", s.path("data"), "--partitions", "4",
		"--replicas", "1", "--listen", s.listen, "--admin", s.admin, "--cluster-secret-file", s.path("secret"),
		"--token-keys", s.path("keys/keys.json"))
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	s.process = start(s.t, cmd)
	waitReady(s.t, s.admin, s.process.exited)
}

func waitReady(t *testing.T, admin string, exited <-chan struct{}) {
	t.Helper()
	eventually(t, "chatd is ready", func() error {
		select {
		case <-exited:
			t.Fatal("chatd has ended")
		default:
		}
		r, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				err = errors.New(r.Status)
			}
		}
		return err
	})
}

// eventually waits until is returns nil.
func eventually(t *testing.T, what string, is func() error) {
	t.Helper()
	for deadline := time.Now().Add(hangBound); ; time.Sleep(20 * time.Millisecond) {
		err := is()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s: %v", hangBound, what, err)
		}
	}
}

// killAndRestart leaves chatd no time for anything.
func (s *server) killAndRestart() {
	s.t.Helper()
	s.process.kill()
	s.start()
}

func (s *server) token(user string) string {
	s.t.Helper()
	out, err := exec.Command(s.chatd, "token", "--key", s.path("keys/signing.key"), "--user", user).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// user calls the methods of the HTTP part of the page.
type user struct {
	s     *server
	token string
}

// call repeats the request until it is answered, or refused for good.
func (u *user) call(ctx context.Context, method string, request map[string]any, answer any) error {
	first := time.Now()
	for try := 0; ; try++ {
		if try > 0 && method == "Post" {
			request["firstSentMs"] = fmt.Sprint(first.UnixMilli())
		}
		err := u.once(ctx, method, request, answer)
		var status statusError
		if err == nil || ctx.Err() != nil || errors.As(err, &status) && status < 500 && status != http.StatusTooManyRequests {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

type statusError int

func (e statusError) Error() string { return http.StatusText(int(e)) }

func (u *user) once(ctx context.Context, method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+u.s.listen+"/chatfleet.chat.v1.ChatService/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+u.token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w: %s", method, statusError(response.StatusCode), text)
	}
	return json.Unmarshal(text, answer)
}

func randomID() string { return fmt.Sprint(rand.Uint64()) }
