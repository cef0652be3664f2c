package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestWhatIsPacked(t *testing.T) {
	opts := optionsFor(newCheckout(t, time.Now()), "alpha", "beta")
	opts.tag = "v1"
	pack(t, opts)
	checkOutput(t, opts)

	labels := configOf(t, packedImages(t, opts, "alpha")[0]).Config.Labels
	for key, want := range map[string]string{
		"title": "alpha", "source": "https://example.com/team/project", "licenses": "Apache-2.0", "created": "2026-01-02T03:04:05Z",
	} {
		if got := labels["org.opencontainers.image."+key]; got != want {
			t.Errorf("label %s is %q, not %q", key, got, want)
		}
	}
	if v := labels["org.opencontainers.image.version"]; !strings.HasPrefix(v, "v0.0.0-20260102030405-") || strings.Contains(v, "dirty") {
		t.Errorf("version %q is not the commit's", v)
	}
}

// checkOutput checks all that holds of any output: image by image, and the files beside them.
func checkOutput(t *testing.T, opts options) {
	t.Helper()
	var digests, certs []string
	for _, n := range opts.names {
		idx, err := packed(opts, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(idx); err != nil {
			t.Errorf("%s: %v", n, err)
		}
		images := packedImages(t, opts, n)
		checkPlatforms(t, idx, opts.platforms)
		digests = append(digests, digestLine(t, opts, n, "index", idx))
		for i, img := range images {
			digests = append(digests, digestLine(t, opts, n, opts.platforms[i].String(), img))
			checkConfig(t, n, opts.platforms[i], img)
			checkFiles(t, n, opts.platforms[i], img)
			checkSBOM(t, opts, n, opts.platforms[i], img)
			manifest, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			certs = append(certs, manifest.Layers[0].Digest.String())
		}
		checkArchive(t, opts, n, images)
	}
	if got, want := read(t, filepath.Join(opts.out, digestsFile)), strings.Join(digests, ""); got != want {
		t.Errorf("%s says\n%sand the layouts hold\n%s", digestsFile, got, want)
	}
	if len(slices.Compact(certs)) != 1 {
		t.Errorf("the layer of certificate authorities is not one for all: %v", certs)
	}
}

func digestLine(t *testing.T, opts options, name, what string, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	digest, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("chatfleet/%s:%s %s %s\n", name, opts.tag, what, digest)
}

func checkPlatforms(t *testing.T, idx v1.ImageIndex, want []v1.Platform) {
	t.Helper()
	manifest, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []v1.Platform
	for _, m := range manifest.Manifests {
		got = append(got, *m.Platform)
	}
	if !slices.EqualFunc(got, want, v1.Platform.Equals) {
		t.Errorf("the index is for %v, not for %v", got, want)
	}
	if manifest.MediaType != types.OCIImageIndex || manifest.Annotations["org.opencontainers.image.version"] == "" {
		t.Errorf("the index is %s, with %v", manifest.MediaType, manifest.Annotations)
	}
}

func configOf(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// checkConfig: a number for a user, so that runAsNonRoot can be checked; the program itself as the entrypoint; the standard labels.
func checkConfig(t *testing.T, name string, platform v1.Platform, img v1.Image) {
	t.Helper()
	config := configOf(t, img)
	if config.OS != platform.OS || config.Architecture != platform.Architecture {
		t.Errorf("%s is for %s/%s, not for %s", name, config.OS, config.Architecture, platform)
	}
	c := config.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/" + name}) || c.Cmd != nil || c.Env != nil {
		t.Errorf("%s runs %v %v as %q with %v", name, c.Entrypoint, c.Cmd, c.User, c.Env)
	}
	for _, key := range []string{"title", "source", "version", "revision", "licenses", "created"} {
		if c.Labels["org.opencontainers.image."+key] == "" {
			t.Errorf("%s lacks the label %s", name, key)
		}
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(manifest.Annotations, c.Labels) || manifest.MediaType != types.OCIManifestSchema1 {
		t.Errorf("%s: manifest %s has the annotations %v", name, manifest.MediaType, manifest.Annotations)
	}
}

// checkFiles: the program, the authorities and their folders, and nothing else: no shell, no library, nothing that the user may change.
func checkFiles(t *testing.T, name string, platform v1.Platform, img v1.Image) {
	t.Helper()
	var got []string
	entries(t, img, func(h *tar.Header, content []byte) {
		got = append(got, fmt.Sprintf("%c %o %d:%d %d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Name))
		if h.Name == name {
			checkStatic(t, platform, content)
		}
	})
	want := []string{"5 755 0:0 0 etc/", "5 755 0:0 0 etc/ssl/", "5 755 0:0 0 etc/ssl/certs/", "0 444 0:0 0 etc/ssl/certs/ca-certificates.crt", "0 555 0:0 0 " + name}
	if !slices.Equal(got, want) {
		t.Errorf("%s for %s holds\n%s\nnot\n%s", name, platform, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func checkStatic(t *testing.T, platform v1.Platform, content []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[platform.Architecture]; f.Machine != want {
		t.Errorf("the program for %s is for %s", platform, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program for %s is not static: it has %s", platform, p.Type)
		}
	}
}

// checkSBOM holds the SBOM against the program that is in the image, not against what the program was packed from.
func checkSBOM(t *testing.T, opts options, name string, platform v1.Platform, img v1.Image) {
	t.Helper()
	var sbom cdx.BOM
	if err := json.Unmarshal([]byte(read(t, sbomPath(opts, name, platform))), &sbom); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if of := sbom.Metadata.Component.PackageURL; !strings.Contains(of, digest.String()) {
		t.Errorf("the SBOM is of %s, and the image is %s", of, digest)
	}
	listed := map[string]bool{sbom.Metadata.Component.BOMRef: true}
	for _, c := range *sbom.Components {
		if listed[c.BOMRef] {
			t.Errorf("%s stands in the SBOM twice", c.BOMRef)
		}
		listed[c.BOMRef], listed[c.Name+"@"+c.Version] = true, true
		if c.Hashes != nil {
			listed[(*c.Hashes)[0].Value] = true
		}
	}
	for _, d := range *sbom.Dependencies {
		for _, ref := range append(*d.Dependencies, d.Ref) {
			if !listed[ref] {
				t.Errorf("the SBOM refers to %s, which it does not list", ref)
			}
		}
	}
	for _, want := range modulesIn(t, name, img) {
		if !listed[want] {
			t.Errorf("the SBOM of %s for %s lacks %s", name, platform, want)
		}
	}
}

// modulesIn is what an image's SBOM must list: the modules of its program, Go's library, the authorities, and the program's hash.
func modulesIn(t *testing.T, name string, img v1.Image) []string {
	t.Helper()
	path := filepath.Join(extract(t, img), name)
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := inspect(name, v1.Platform{OS: "linux", Architecture: setting(info, "GOARCH")}, path)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := ownModule(rootsModule)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{b.sha256, "std@" + strings.TrimPrefix(info.GoVersion, "go"), certs.Path + "@" + certs.Version}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		want = append(want, m.Path+"@"+m.Version)
	}
	return want
}

// checkArchive: under the name that a pod asks for, the image of this machine's platform, as in the layout.
func checkArchive(t *testing.T, opts options, n string, images []v1.Image) {
	t.Helper()
	tag, err := name.NewTag("chatfleet/" + n + ":" + opts.tag)
	if err != nil {
		t.Fatal(err)
	}
	archived, err := tarball.ImageFromPath(archivePath(opts, n), &tag)
	if err != nil {
		t.Fatal(err)
	}
	got, err := archived.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range opts.platforms {
		want, err := images[i].ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		if p.Equals(opts.here()) != (got == want) {
			t.Errorf("the archive holds %s, and %s is %s", got, p, want)
		}
	}
}

// TestSameCommitSameDigest: another folder, other times, another environment; and a change that is seen.
func TestSameCommitSameDigest(t *testing.T) {
	one := optionsFor(newCheckout(t, time.Now()), "alpha", "beta")
	pack(t, one)
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOFLAGS", "-tags=other -buildvcs=false")
	t.Setenv("CGO_ENABLED", "1")
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	two := optionsFor(newCheckout(t, time.Unix(1e9, 0)), "alpha", "beta")
	pack(t, two)
	checkSame(t, one, two)

	path := filepath.Join(two.root, "greeting", "greeting.go")
	if err := os.WriteFile(path, []byte("package greeting\n\nconst Hello = \"good day\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pack(t, two)
	digests := read(t, filepath.Join(two.out, digestsFile))
	if digests == read(t, filepath.Join(one.out, digestsFile)) {
		t.Error("a changed program has the digest of the one before")
	}
	if !strings.Contains(digests, "-dirty ") {
		t.Errorf("what is not committed is not called dirty:\n%s", digests)
	}
	if r := configOf(t, packedImages(t, two, "alpha")[0]).Config.Labels["org.opencontainers.image.revision"]; !strings.HasSuffix(r, "-dirty") {
		t.Errorf("revision %q does not say that it is not what was committed", r)
	}
}

// checkSame compares two outputs byte by byte; the stamp beside them is nobody's business.
func checkSame(t *testing.T, one, two options) {
	t.Helper()
	files := func(dir string) (paths []string) {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && d.Name() != stampFile {
				rel, _ := filepath.Rel(dir, path)
				paths = append(paths, rel)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	a, b := files(one.out), files(two.out)
	if len(a) == 0 || !slices.Equal(a, b) {
		t.Fatalf("two builds of a commit wrote\n%s\nand\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	for _, path := range a {
		if read(t, filepath.Join(one.out, path)) != read(t, filepath.Join(two.out, path)) {
			t.Errorf("two builds of a commit differ in %s", path)
		}
	}
}

func TestSecondRun(t *testing.T) {
	opts := optionsFor(newCheckout(t, time.Now()), "beta")
	const unchanged = "nothing has changed"
	for _, step := range []struct {
		name      string
		before    func()
		unchanged bool
	}{
		{"first", func() {}, false},
		{"again", func() {}, true},
		{"another tag", func() { opts.tag = "v2" }, false},
		{"the same again", func() {}, true},
		{"an SBOM is gone", func() { os.Remove(sbomPath(opts, "beta", both[1])) }, false},
		{"one platform less", func() { opts.platforms = both[:1] }, false},
	} {
		step.before()
		if out := pack(t, opts); strings.Contains(out, unchanged) != step.unchanged {
			t.Errorf("%s:\n%s", step.name, out)
		}
		if opts.tag != "" {
			checkOutput(t, opts)
		}
	}
	if _, err := os.Stat(sbomPath(opts, "beta", both[1])); err == nil {
		t.Error("what an earlier run made for another platform is still there")
	}
	if _, err := layout.FromPath(layoutPath(opts, "beta")); err != nil {
		t.Error(err)
	}
}
