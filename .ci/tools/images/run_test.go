package main

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func TestRoots(t *testing.T) {
	pem, err := roots()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate authority was read")
	}
	want := x509.NewCertPool()
	limited := 0
	for r := range bundle.Roots() {
		if r.Constraint != nil {
			limited++
			continue
		}
		cert, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		want.AddCert(cert)
	}
	if !pool.Equal(want) {
		t.Error("the file is not Mozilla's list without what is trusted up to a date only")
	}
	t.Logf("%d with a limit are left out", limited)
}

// container is a command as a pod runs it, as far as this test can go without an engine: the image as root of the file system, which the
// user may not write to, nothing mounted, no environment, the image's user.
func container(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CHATFLEET_SKIP") == "never" {
			t.Fatal("this test must run as root to use chroot, and CHATFLEET_SKIP=never")
		}
		t.Skip("needs root for chroot")
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	return cmd
}

// own is the image for this machine.
func own(t *testing.T, opts options, name string) v1.Image {
	t.Helper()
	for i, p := range opts.platforms {
		if p.Architecture == runtime.GOARCH {
			return packedImages(t, opts, name)[i]
		}
	}
	t.Skipf("no image for %s", runtime.GOARCH)
	return nil
}

func TestRunsInItsImage(t *testing.T) {
	opts := optionsFor(newCheckout(t, time.Now()), "alpha")
	pack(t, opts)
	out, err := container(t, extract(t, own(t, opts, "alpha")), "/alpha").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pem, err := roots()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("hello 65532 65532 %d true\n", bytes.Count(pem, []byte("BEGIN CERTIFICATE")))
	if string(out) != want {
		t.Errorf("a program in its image found %q, not %q (user, group, authorities, whether / is closed to it)", out, want)
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	opts := optionsFor(newCheckout(t, time.Now()), "alpha", "beta")
	opts.tag = "v1"
	opts.registry = strings.TrimPrefix(server.URL, "http://") + "/team"
	pack(t, opts)
	for _, n := range opts.names {
		ref, err := name.ParseReference(opts.registry + "/" + n + ":v1")
		if err != nil {
			t.Fatal(err)
		}
		idx, err := remote.Index(ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(idx); err != nil {
			t.Error(err)
		}
		digest, err := idx.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if line := fmt.Sprintf("chatfleet/%s:v1 index %s\n", n, digest); !strings.Contains(read(t, filepath.Join(opts.out, digestsFile)), line) {
			t.Errorf("the registry has %s", line)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := newCheckout(t, time.Now())
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no image", nil, "no image is named"},
		{"a platform that is none", []string{"-platforms", "amd64", "beta"}, `"amd64" is none`},
		{"another system", []string{"-platforms", "windows/amd64", "beta"}, "linux/amd64"},
		{"no such program", []string{"gamma"}, "gamma"},
		{"not a program", []string{"greeting"}, "greeting"},
		{"a tag that is none", []string{"-tag", "a b", "beta"}, "--tag"},
		{"a registry without a host", []string{"-registry", "team", "beta"}, "--registry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts, err := parse(append([]string{"-root", dir, "-out", filepath.Join(dir, "out"), "-binaries", filepath.Join(dir, "bin")}, c.args...), io.Discard)
			if err == nil {
				err = run(t.Context(), opts, io.Discard)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v does not say %q", err, c.want)
			}
		})
	}
}
