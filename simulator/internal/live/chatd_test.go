package live

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chatdDir holds the real server, which is built once for all tests; empty until then.
var chatdDir string

var chatd = sync.OnceValues(func() (path string, err error) {
	if chatdDir, err = os.MkdirTemp("", "chatfleet-live-test-"); err != nil {
		return "", err
	}
	path = filepath.Join(chatdDir, "chatd")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/chatfleet/chatfleet/chatd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build chatd: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if chatdDir != "" {
		_ = os.RemoveAll(chatdDir)
	}
	os.Exit(code)
}

// startChatd runs a store and shard in one process, and returns its address for clients and the key that its tokens are signed with.
func startChatd(t *testing.T) (address, key string) {
	t.Helper()
	path, err := chatd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keys, secret := filepath.Join(dir, "keys"), filepath.Join(dir, "secret")
	if out, err := exec.Command(path, "keygen", "--out", keys).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(secret, []byte("a secret of more than sixteen bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, admin := freeAddress(t), freeAddress(t)
	cmd := exec.Command(path, "serve", "--role", "combined", "--name", "planted", "--replicas", "1", "--partitions", "4", "--data", filepath.Join(dir, "data"),
		"--listen", address, "--admin", admin, "--cluster-secret-file", secret, "--token-keys", filepath.Join(keys, "keys.json"), "--log-level", "warn")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return address, filepath.Join(keys, "signing.key")
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("chatd was not ready within a minute: %v", err)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
