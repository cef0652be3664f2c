package examples

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

const pagePath = "../protocol.md"

var update = flag.Bool("update", false, "write the examples into docs/protocol.md as they are")

// included is a code block of the page that shows a file: its first line names the language, and the file from the page's directory.
var included = regexp.MustCompile("(?s)(```\\w+ (examples/[^\n]*)\n)(.*?)(```\n)")

func TestPageShowsTheExamplesAsTheyAre(t *testing.T) {
	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	want := included.ReplaceAllFunc(page, func(block []byte) []byte {
		parts := included.FindSubmatch(block)
		name := string(parts[2])
		shown[name] = true
		file, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parts[3], file) && !*update {
			t.Errorf("docs/protocol.md shows another docs/%s than there is; `go test ./docs/examples -run TestPage -update` writes it", name)
		}
		return bytes.Join([][]byte{parts[1], file, parts[4]}, nil)
	})
	for _, name := range []string{"examples/js/client.mjs", "examples/js/main.mjs", "examples/go/session.go"} {
		if !shown[name] {
			t.Errorf("docs/protocol.md does not show docs/%s", name)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(pagePath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClientInJavaScriptIsShort(t *testing.T) {
	file, err := os.ReadFile("js/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(file, []byte("\n")); n >= 60 {
		t.Errorf("js/client.mjs has %d lines, it is to be read at one go: under 60", n)
	}
}
