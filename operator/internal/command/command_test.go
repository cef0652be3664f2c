package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run is the operator with some arguments and a standard input.
func run(stdin string, args ...string) (code int, out, errs string) {
	var o, e strings.Builder
	code = Main(args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func TestPlan(t *testing.T) {
	sample := filepath.Join("..", "..", "..", "config", "samples", "chatcluster.yaml")
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "  shards:\n    replicas: 3", "  shards:\n    replicas: 2", 1)
	for _, tt := range []struct {
		name, stdin string
		args        []string
		code        int
		says        []string
	}{
		{"a new fleet", "", []string{"-f", sample}, exitDone, []string{"create shard 2 at revision", "there are no stores yet", "done after"}},
		{"no change", string(text), []string{"-f", "-", "--from", sample}, exitDone, []string{"nothing to do"}},
		{"scale-in", changed, []string{"-f", "-", "--from", sample, "--sessions", "300"}, exitDone, []string{"mark shard-", "2 shards are wanted", "no session is left", "with 300 sessions"}},
		{"a typo", strings.Replace(string(text), "replicas:", "replicass:", 1), []string{"-f", "-"}, exitUsage, []string{"standard input", `unknown field "replicass"`}},
		{"another kind", "kind: Pod\napiVersion: v1\n", []string{"-f", "-"}, exitUsage, []string{`a Pod of "v1"; want a ChatCluster of chatfleet.io/v1alpha1`}},
		{"nothing said", "apiVersion: chatfleet.io/v1alpha1\nkind: ChatCluster\n", []string{"-f", "-"}, exitUsage, []string{"metadata.name", "spec.image", "spec.region", "spec.store.storage.size"}},
		{"an overlay that must not be", string(text) + "  template:\n    shard:\n      spec: {hostNetwork: true}\n", []string{"-f", "-"}, exitUsage, []string{"spec.template.shard.spec", "hostNetwork=true"}},
		{"no file", "", []string{"-f", "none.yaml"}, exitUsage, []string{"none.yaml"}},
		{"no flag", "", nil, exitUsage, []string{"name the ChatCluster's file with -f", "--help"}},
		{"paused", string(text) + "  paused: true\n", []string{"-f", "-"}, exitFailed, []string{"paused: nothing is created"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := run(tt.stdin, append([]string{"plan"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, part := range tt.says {
				if !strings.Contains(out+errs, part) {
					t.Errorf("it does not say %q:\n%s%s", part, out, errs)
				}
			}
		})
	}
}
