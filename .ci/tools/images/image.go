package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user and group of every image: the number that distroless images have for "nonroot". A number, so that a kubelet can see that
// it is not root without a passwd file.
const user = "65532:65532"

// file is one entry of a layer. Owner is root and nobody may write, so the program cannot change its own image.
type file struct {
	path    string // without a leading slash; a folder's ends in one
	mode    int64
	content []byte
}

// layer is a tar of files, gzipped. No time and no name of this machine is in it: the same files are the same layer.
func layer(files ...file) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if strings.HasSuffix(f.path, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.path, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
}

// rootsLayer is the same for every program, architecture and commit, so a node keeps it once.
func rootsLayer() (v1.Layer, error) {
	pem, err := roots()
	if err != nil {
		return nil, err
	}
	return layer(file{"etc/", 0o755, nil}, file{"etc/ssl/", 0o755, nil}, file{"etc/ssl/certs/", 0o755, nil}, file{rootsPath, 0o444, pem})
}

// image is one program's image for one platform.
func image(b binary, certs v1.Layer) (v1.Image, error) {
	content, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	program, err := layer(file{b.name, 0o555, content})
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: committed(b.info)}
	var img v1.Image = empty.Image
	img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img,
		mutate.Addendum{Layer: certs, History: v1.History{Created: created, CreatedBy: "COPY " + rootsPath, Comment: rootsModule}},
		mutate.Addendum{Layer: program, History: v1.History{Created: created, CreatedBy: "COPY " + b.name}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = created
	config.OS, config.Architecture, config.Variant = b.platform.OS, b.platform.Architecture, b.platform.Variant
	config.Config = v1.Config{User: user, Entrypoint: []string{"/" + b.name}, WorkingDir: "/", Labels: labels(b)}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(img, labels(b)).(v1.Image), nil
}

// labels are OCI's standard annotations: on the index, on each manifest, and as labels where `docker inspect` shows them. The tag is not
// among them: it is a name for the image, and not to change its digest.
func labels(b binary) map[string]string {
	const prefix = "org.opencontainers.image."
	l := map[string]string{
		prefix + "title":    b.name,
		prefix + "source":   "https://" + b.info.Main.Path,
		prefix + "version":  versionOf(b),
		prefix + "licenses": license,
	}
	if revision := setting(b.info, "vcs.revision"); revision != "" {
		if setting(b.info, "vcs.modified") == "true" {
			revision += "-dirty"
		}
		l[prefix+"revision"] = revision
		l[prefix+"created"] = committed(b.info).Format(time.RFC3339)
	}
	return l
}

// index is one program's images for all platforms under one digest.
func index(built []binary, images []v1.Image) v1.ImageIndex {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, img := range images {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &built[i].platform}})
	}
	return mutate.Annotations(idx, labels(built[0])).(v1.ImageIndex)
}
