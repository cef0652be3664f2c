package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// binary is one program, built for one platform.
type binary struct {
	name     string
	platform v1.Platform
	path     string
	sha256   string // hex
	info     *debug.BuildInfo
}

// build has the go command build every program for every platform. The go command keeps a binary that is there and up to date, so a
// second run links nothing.
func build(ctx context.Context, opts options, stdout io.Writer) ([]binary, error) {
	into, err := filepath.Abs(opts.binaries)
	if err != nil {
		return nil, err
	}
	var built []binary
	for _, platform := range opts.platforms {
		dir := filepath.Join(into, platform.OS+"_"+platform.Architecture)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		fmt.Fprintf(stdout, "images: building %s for %s\n", strings.Join(opts.names, ", "), platform)
		if err := goBuild(ctx, opts, platform, dir); err != nil {
			return nil, err
		}
		for _, name := range opts.names {
			b, err := inspect(name, platform, filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			built = append(built, b)
		}
	}
	for _, b := range built[1:] {
		if b.info.Main.Version != built[0].info.Main.Version {
			return nil, fmt.Errorf("%s says %s and %s says %s: the checkout changed while it was built; run this again",
				built[0].name, built[0].info.Main.Version, b.name, b.info.Main.Version)
		}
	}
	return built, nil
}

// goBuild runs the go command in an environment that cannot change what comes out: what it sets is not left to whoever calls it, and
// version and commit come from git by the go command itself, so that the binary, its image and its SBOM cannot disagree.
func goBuild(ctx context.Context, opts options, platform v1.Platform, dir string) error {
	args := []string{"build", "-trimpath", "-buildvcs=auto", "-ldflags=-s -w", "-o", dir + "/"}
	for _, name := range opts.names {
		args = append(args, "./"+name)
	}
	cmd := exec.CommandContext(ctx, opts.goCommand, args...)
	cmd.Dir = opts.root
	cmd.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s (in %s, for %s): %w\n%s", cmd, opts.root, platform, err, out)
	}
	return nil
}

// inspect reads what a binary says of itself, and refuses one that does not run alone.
func inspect(name string, platform v1.Platform, path string) (binary, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return binary{}, fmt.Errorf("read the build information of %s: %w", path, err)
	}
	if cgo := setting(info, "CGO_ENABLED"); cgo != "0" {
		return binary{}, fmt.Errorf("%s was built with CGO_ENABLED=%s and would need a C library, which no image has", path, cgo)
	}
	if arch := setting(info, "GOARCH"); arch != platform.Architecture {
		return binary{}, fmt.Errorf("%s is for %s, not for %s", path, arch, platform)
	}
	f, err := os.Open(path)
	if err != nil {
		return binary{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return binary{}, fmt.Errorf("read %s: %w", path, err)
	}
	return binary{name: name, platform: platform, path: path, sha256: hex.EncodeToString(h.Sum(nil)), info: info}, nil
}

// setting is one of the settings that a binary was built with, "" if it does not say.
func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// committed is when the commit was made that a binary is built from; the zero time without git.
func committed(info *debug.BuildInfo) time.Time {
	t, err := time.Parse(time.RFC3339, setting(info, "vcs.time"))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

var notInTags = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// versionOf is the version that a binary says of itself, in its logs and status too.
func versionOf(b binary) string {
	if v := b.info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "devel"
}

// tagOf is a version in letters that a tag may have: the go command writes v0.0.0-…+dirty.
func tagOf(version string) string { return notInTags.ReplaceAllString(version, "-") }

// ownModule is a module of this program, as it was built.
func ownModule(path string) (*debug.Module, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("this program has no build information; build it with modules")
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m, nil
		}
	}
	return nil, fmt.Errorf("this program was built without %s", path)
}
