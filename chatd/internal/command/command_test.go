package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/command"
)

// run runs chatd in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = command.Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// --print-config prints what is in force and where each value comes from, and starts nothing.
func TestPrintConfig(t *testing.T) {
	secret := write(t, "secret", "a secret that nobody prints")
	file := write(t, "chatd.yaml", "role: shard\nstores: [\"10.0.0.1:7422\"]\ntoken: {keys: keys.json}\ndrain: {timeout: 90s}\n")
	t.Setenv("CHATD_REGION", "eu1")
	code, out, errs := run(t, "serve", "--config", file, "--name", "shard-7", "--cluster-secret-file", secret, "--print-config")
	if code != 0 || errs != "" {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	out = regexp.MustCompile(` +#`).ReplaceAllString(out, " #")
	for _, want := range []string{
		"role: shard # " + file + ":1:7\n", "name: shard-7 # --name\n", "region: eu1 # CHATD_REGION\n", "partitions: 16 # default\n",
		"  timeout: 1m30s # " + file + ":4:18\n", "replicas: 3 # default; a shard has no use for it\n", "  secretFile: " + secret + " # --cluster-secret-file\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("printed:\n%s\nwant in it:\n%s", out, want)
		}
	}
	if strings.Contains(out, "nobody prints") {
		t.Errorf("the secret was printed:\n%s", out)
	}
}

// What is wrong is said before anything starts; what could be read is printed all the same.
func TestWrongConfiguration(t *testing.T) {
	file := write(t, "chatd.yaml", "role: shard\nstroes: [\"10.0.0.1:7422\"]\n")
	code, out, errs := run(t, "serve", "--config", file, "--name", "shard-7", "--print-config")
	if code != 2 || !strings.Contains(errs, "chatd serve: "+file+`:2:1: unknown key "stroes"; did you mean stores?`) || !strings.Contains(out, "name: shard-7") {
		t.Errorf("exit code %d: %s\n%s", code, errs, out)
	}
	code, _, errs = run(t, "serve", "--drain-timout", "3s")
	if code != 2 || !strings.Contains(errs, "unknown flag: --drain-timout; did you mean --drain-timeout?") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// The reference's own example of a file is one, but for what it names.
func TestReferencesExampleIsAFile(t *testing.T) {
	code, out, errs := run(t, "reference")
	if code != 0 {
		t.Fatal(errs)
	}
	_, rest, ok := strings.Cut(out, "The file is YAML:\n\n")
	if !ok {
		t.Fatal("the reference has no example")
	}
	example, _, _ := strings.Cut(rest, "\n\n")
	file := write(t, "chatd.yaml", strings.ReplaceAll(strings.TrimPrefix(example, "    "), "\n    ", "\n"))
	secret := write(t, "secret", "sixteen bytes at least")
	code, out, errs = run(t, "serve", "--config", file, "--cluster-secret-file", secret, "--print-config")
	if code != 0 || !strings.Contains(out, "1m") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
