package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// What lies in the output folder. The names have no version, so that scripts need not ask for it.
const (
	digestsFile = "digests.txt" // image, platform or "index", digest; a line each
	stampFile   = ".inputs"     // of what all this was made
)

func layoutPath(opts options, name string) string  { return filepath.Join(opts.out, name+".oci") }
func archivePath(opts options, name string) string { return filepath.Join(opts.out, name+".tar") }
func sbomPath(opts options, name string, p v1.Platform) string {
	return filepath.Join(opts.out, fmt.Sprintf("%s.%s-%s.cdx.json", name, p.OS, p.Architecture))
}

// fingerprint names all that the output depends on: the binaries, what was asked for, and this program.
func fingerprint(opts options, built []binary) (string, error) {
	h := sha256.New()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(self)
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	fmt.Fprintf(h, "%x %s %s\n", sha256.Sum256(content), opts.tag, opts.here())
	for _, b := range built {
		fmt.Fprintf(h, "%s %s %s\n", b.name, b.platform, b.sha256)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// upToDate is whether the output was made of the same, and is still there.
func upToDate(opts options, stamp string) bool {
	was, err := os.ReadFile(filepath.Join(opts.out, stampFile))
	if err != nil || string(was) != stamp {
		return false
	}
	paths := []string{filepath.Join(opts.out, digestsFile)}
	for _, n := range opts.names {
		paths = append(paths, filepath.Join(layoutPath(opts, n), "index.json"), archivePath(opts, n))
		for _, p := range opts.platforms {
			paths = append(paths, sbomPath(opts, n, p))
		}
	}
	return !slices.ContainsFunc(paths, func(p string) bool {
		_, err := os.Stat(p)
		return err != nil
	})
}

// write makes the whole output in a folder beside, and puts it in place when it is complete.
func write(opts options, built []binary, stamp string) error {
	final := opts.out
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return err
	}
	var err error
	if opts.out, err = os.MkdirTemp(filepath.Dir(final), ".images-*"); err != nil {
		return err
	}
	beside := opts.out
	defer func() { _ = os.RemoveAll(beside) }() // what an error left; else it is in place by then
	certs, err := rootsLayer()
	if err != nil {
		return err
	}
	var digests strings.Builder
	for _, n := range opts.names {
		own := slices.DeleteFunc(slices.Clone(built), func(b binary) bool { return b.name != n })
		if err := writeOne(opts, own, certs, &digests); err != nil {
			return fmt.Errorf("write the image of %s: %w", n, err)
		}
	}
	if err := os.WriteFile(filepath.Join(opts.out, digestsFile), []byte(digests.String()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(opts.out, stampFile), []byte(stamp), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(opts.out, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return os.Rename(opts.out, final)
}

// writeOne writes what one program comes to: the layout with all platforms, the archive, the SBOMs, its lines of digests.
func writeOne(opts options, built []binary, certs v1.Layer, digests io.Writer) error {
	tag, err := name.NewTag("chatfleet/" + built[0].name + ":" + opts.tag)
	if err != nil {
		return fmt.Errorf("--tag: %w", err)
	}
	certsModule, err := ownModule(rootsModule)
	if err != nil {
		return err
	}
	var images []v1.Image
	var lines bytes.Buffer
	for _, b := range built {
		img, err := image(b, certs)
		if err != nil {
			return err
		}
		digest, err := img.Digest()
		if err != nil {
			return err
		}
		images = append(images, img)
		fmt.Fprintf(&lines, "%s %s %s\n", tag, b.platform, digest)
		if err := writeSBOM(sbomPath(opts, b.name, b.platform), b, digest, certsModule); err != nil {
			return err
		}
		if b.platform.Equals(opts.here()) {
			if err := tarball.WriteToFile(archivePath(opts, b.name), tag, img); err != nil {
				return err
			}
		}
	}
	idx := index(built, images)
	digest, err := idx.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(digests, "%s index %s\n%s", tag, digest, lines.String())
	path, err := layout.Write(layoutPath(opts, built[0].name), empty.Index)
	if err != nil {
		return err
	}
	// The names by which podman and skopeo, and containerd, call what they read from a layout.
	return path.AppendIndex(idx, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": opts.tag, "io.containerd.image.name": "docker.io/" + tag.String()}))
}

func writeSBOM(path string, b binary, image v1.Hash, certs *debug.Module) error {
	var out bytes.Buffer
	if err := encode(&out, bom(b, image, certs)); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// show prints what there is now.
func show(opts options, stdout io.Writer) error {
	digests, err := os.ReadFile(filepath.Join(opts.out, digestsFile))
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s", digests)
	for _, n := range opts.names {
		info, err := os.Stat(archivePath(opts, n))
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "images: %s (%.0f MB, %s)\n", archivePath(opts, n), float64(info.Size())/1e6, opts.here())
	}
	return nil
}

// packed is the index that a layout holds.
func packed(opts options, name string) (v1.ImageIndex, error) {
	outer, err := layout.ImageIndexFromPath(layoutPath(opts, name))
	if err != nil {
		return nil, err
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%s holds %d entries, not one index", layoutPath(opts, name), len(manifest.Manifests))
	}
	return outer.ImageIndex(manifest.Manifests[0].Digest)
}

// push sends each image with all its platforms to REGISTRY/NAME:TAG, with the credentials that docker, podman or crane have stored.
func push(ctx context.Context, opts options, stdout io.Writer) error {
	for _, n := range opts.names {
		ref, err := name.NewTag(strings.TrimSuffix(opts.registry, "/")+"/"+n+":"+opts.tag, name.StrictValidation)
		if err != nil {
			return fmt.Errorf("--registry: %w; it looks like registry.example.com/team", err)
		}
		idx, err := packed(opts, n)
		if err != nil {
			return err
		}
		if err := remote.WriteIndex(ref, idx, remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithContext(ctx)); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
		digest, err := idx.Digest()
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "pushed %s@%s\n", ref, digest)
	}
	return nil
}
