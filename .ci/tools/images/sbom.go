package main

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	purl "github.com/package-url/packageurl-go"
)

// license is the project's own.
const license = "Apache-2.0"

// bom is the image's bill of materials: its program with every module that the binary says it is made of, Go's standard library, and the
// list of certificate authorities (a module of this tool, nil if the image has none). It says nothing that was not read from there.
func bom(b binary, image v1.Hash, certs *debug.Module) *cdx.BOM {
	out := cdx.NewBOM()
	program := program(b)
	container := cdx.Component{
		Type: cdx.ComponentTypeContainer, Name: "chatfleet/" + b.name, Version: versionOf(b),
		PackageURL: purl.NewPackageURL(purl.TypeOCI, "", b.name, image.String(),
			purl.Qualifiers{{Key: "arch", Value: b.platform.Architecture}}, "").ToString(),
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: license}}},
	}
	container.BOMRef = container.PackageURL
	out.Metadata = &cdx.Metadata{Component: &container}
	if t := committed(b.info); !t.IsZero() {
		out.Metadata.Timestamp = t.Format(time.RFC3339)
	}

	libraries := []cdx.Component{module(&debug.Module{Path: "std", Version: strings.TrimPrefix(b.info.GoVersion, "go")})}
	for _, m := range b.info.Deps {
		libraries = append(libraries, module(m))
	}
	parts := append([]cdx.Component{program}, libraries...)
	contains := []string{program.BOMRef}
	if certs != nil {
		c := module(certs)
		c.Type, c.Description = cdx.ComponentTypeData, "certificate authorities, as /"+rootsPath
		parts, contains = append(parts, c), append(contains, c.BOMRef)
	}
	slices.SortFunc(parts, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	parts = slices.CompactFunc(parts, func(a, b cdx.Component) bool { return a.BOMRef == b.BOMRef })
	out.Components = &parts
	uses := refs(libraries)
	out.Dependencies = &[]cdx.Dependency{{Ref: container.BOMRef, Dependencies: &contains}, {Ref: program.BOMRef, Dependencies: &uses}}
	return out
}

func refs(of []cdx.Component) []string {
	var out []string
	for _, c := range of {
		out = append(out, c.BOMRef)
	}
	slices.Sort(out)
	return out
}

// program is the binary itself, with what it was built with: who has the same Go and these settings gets the same digest.
func program(b binary) cdx.Component {
	c := module(&b.info.Main)
	c.Type, c.Name = cdx.ComponentTypeApplication, b.info.Path
	c.PackageURL += "#" + b.name
	c.BOMRef = c.PackageURL
	c.Licenses = &cdx.Licenses{{License: &cdx.License{ID: license}}}
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: b.sha256}}
	properties := []cdx.Property{{Name: "go:version", Value: b.info.GoVersion}}
	for _, s := range b.info.Settings {
		properties = append(properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	c.Properties = &properties
	return c
}

// module is a Go module as a component; one that is replaced is what replaces it, since that is what is in the binary.
func module(m *debug.Module) cdx.Component {
	var properties []cdx.Property
	if r := m.Replace; r != nil {
		properties = append(properties, cdx.Property{Name: "go:replaces", Value: m.Path + "@" + m.Version})
		m = r
	}
	if m.Sum != "" {
		properties = append(properties, cdx.Property{Name: "go:sum", Value: m.Sum})
	}
	namespace, name := path.Split(m.Path)
	c := cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version,
		PackageURL: purl.NewPackageURL(purl.TypeGolang, strings.TrimSuffix(namespace, "/"), name, m.Version, nil, "").ToString(),
	}
	c.BOMRef = c.PackageURL
	if properties != nil {
		c.Properties = &properties
	}
	return c
}

func encode(w io.Writer, b *cdx.BOM) error {
	// 1.6 and not the newest: what reads SBOMs is slower to learn a version than what writes them.
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := encoder.EncodeVersion(b, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("write the SBOM: %w", err)
	}
	return nil
}
