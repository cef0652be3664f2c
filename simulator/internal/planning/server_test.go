package planning

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// kubectl starts an API server with the CustomResourceDefinitions of config/crd, and returns what runs the real kubectl against it. It skips a test where these programs
// have not been built.
func kubectl(t *testing.T) func(args ...string) (stdout string, err error) {
	t.Helper()
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		const says = "KUBEBUILDER_ASSETS is not set: `make test-operator` builds what it takes"
		if os.Getenv("CHATFLEET_SKIP") == "never" {
			t.Fatal(says)
		}
		t.Skip(says)
	}
	log.SetLogger(logr.Discard())
	env := &envtest.Environment{CRDDirectoryPaths: []string{config + "crd"}, ErrorIfCRDPathMissing: true}
	if _, err := env.Start(); err != nil {
		t.Fatalf("start an API server: %v", err)
	}
	t.Cleanup(func() { _ = env.Stop() })
	user, err := env.AddUser(envtest.User{Name: "planner", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (string, error) {
		var stdout, stderr strings.Builder
		cmd := exec.Command(filepath.Join(assets, "kubectl"), append([]string{"--kubeconfig", file}, args...)...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err != nil {
			stdout.WriteString(stderr.String())
		}
		return stdout.String(), err
	}
}

// The command that a plan prints is taken by an API server, and changes nothing: for a ChatCluster that there is not yet, and over each sample that there is.
func TestAnAPIServerTakesThePatch(t *testing.T) {
	run := kubectl(t)
	try := func(p Plan, more string) (object, error) {
		t.Helper()
		file := filepath.Join(t.TempDir(), PatchFile)
		if err := os.WriteFile(file, []byte(p.Patch()+more), 0o600); err != nil {
			t.Fatal(err)
		}
		return decoded(run(append(strings.Fields(p.Apply(file))[1:], "-o", "json")...))
	}
	if out, err := run("create", "namespace", "chat"); err != nil {
		t.Fatal(out)
	}
	plans, err := wholes()
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range plans {
		made, err := try(p, "")
		if err != nil || made.Spec.Shards.Replicas != p.Fleet.Shards || made.Spec.Region != "eu1" || made.Spec.Partitions != p.Fleet.Partitions {
			t.Errorf("%s: %v, %+v\n%s", name, err, made, p.Patch())
		}
	}
	if out, err := run("get", "chatcluster", "eu", "-n", "chat"); err == nil {
		t.Errorf("a dry run made it: %s", out)
	}
	for sample, cluster := range map[string]Cluster{"chatcluster.yaml": {Name: "dev", Namespace: "default"}, "chatcluster-production.yaml": {Name: "eu", Namespace: "chat"}} {
		p := plans["many connections"]
		p.Asked.Cluster = cluster
		if _, err := try(p, ""); err == nil {
			t.Errorf("%s: a patch is no whole ChatCluster, and it was made of one", sample)
		}
		if out, err := run("apply", "-f", config+"samples/"+sample); err != nil {
			t.Fatal(out)
		}
		get := func() object {
			out, err := decoded(run("get", "chatcluster", cluster.Name, "-n", cluster.Namespace, "-o", "json"))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		before := get()
		got, err := try(p, "")
		if err != nil || got.Spec.Shards.Replicas != p.Fleet.Shards || got.Spec.Image != before.Spec.Image || got.Spec.Partitions != before.Spec.Partitions {
			t.Errorf("over %s: %v, %+v\n%s", sample, err, got, p.Patch())
		}
		if now := get(); now != before {
			t.Errorf("over %s: a dry run changed it from %+v to %+v", sample, before, now)
		}
		if _, err := try(p, "  partitions: 512\n"); err == nil {
			t.Errorf("over %s: other partitions were taken", sample)
		}
	}
}

// object is what of a ChatCluster is looked at.
type object struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		Image      string `json:"image"`
		Region     string `json:"region"`
		Partitions int    `json:"partitions"`
		Shards     struct {
			Replicas int `json:"replicas"`
		} `json:"shards"`
	} `json:"spec"`
}

// decoded is what kubectl printed, or its error with what it said.
func decoded(text string, err error) (o object, _ error) {
	if err != nil {
		return o, &refusal{text, err}
	}
	return o, json.Unmarshal([]byte(text), &o)
}

type refusal struct {
	says string
	err  error
}

func (r *refusal) Error() string { return r.err.Error() + ": " + r.says }
