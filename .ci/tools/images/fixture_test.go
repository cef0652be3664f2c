package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The checkout that most tests pack: two programs, one of which uses a module that is replaced.
var checkout = map[string]string{
	".gitignore": "/out/\n/bin/\n",
	"go.mod": "module example.com/team/project\n\ngo 1.26.0\n\nrequire example.com/greeting v1.2.3\n\n" +
		"replace example.com/greeting v1.2.3 => ./greeting\n",
	"greeting/go.mod":      "module example.com/greeting\n\ngo 1.26.0\n",
	"greeting/greeting.go": "package greeting\n\nconst Hello = \"hello\"\n",
	"alpha/main.go": `package main

import (
	"crypto/x509"
	"fmt"
	"os"

	"example.com/greeting"
)

// What it prints tells the test what a program finds in its image.
func main() {
	pool, err := x509.SystemCertPool()
	if err != nil {
		panic(err)
	}
	_, err = os.Create("/written")
	fmt.Println(greeting.Hello, os.Getuid(), os.Getgid(), len(pool.Subjects()), err != nil)
}
`,
	"beta/main.go": "package main\n\nfunc main() {}\n",
}

// newCheckout makes a git checkout of it in a new folder, whose files were changed at a time of their own.
func newCheckout(t *testing.T, changed time.Time) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range checkout {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "-q", "-b", "main")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-q", "-m", "one")
	return dir
}

// git runs with nobody's configuration, and commits at one time: the same files are the same commit everywhere.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// both are the platforms that are released.
var both = []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}

func optionsFor(dir string, names ...string) options {
	return options{root: dir, names: names, platforms: both, binaries: filepath.Join(dir, "bin"), out: filepath.Join(dir, "out", "images"), goCommand: "go"}
}

// pack runs the whole program, and returns what it printed.
func pack(t *testing.T, opts options) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), opts, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// packedImages are a program's images in the layout, in the order of the platforms.
func packedImages(t *testing.T, opts options, name string) []v1.Image {
	t.Helper()
	idx, err := packed(opts, name)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var images []v1.Image
	for _, m := range manifest.Manifests {
		img, err := idx.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, img)
	}
	return images
}

// entries calls f with everything in an image's layers, the lowest first.
func entries(t *testing.T, img v1.Image, f func(h *tar.Header, content []byte)) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		unpacked, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer unpacked.Close()
		for r := tar.NewReader(unpacked); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			f(h, content)
		}
	}
}

// extract unpacks an image as a container's root, root's as in the image.
func extract(t *testing.T, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	entries(t, img, func(h *tar.Header, content []byte) {
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		var err error
		if mode := fs.FileMode(h.Mode); h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, mode)
		} else {
			err = os.WriteFile(path, content, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return dir
}
