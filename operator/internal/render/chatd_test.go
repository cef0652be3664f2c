package render

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// TestChatdKnowsItsArguments gives a real chatd what pods give it, and asks it to print what it has understood.
func TestChatdKnowsItsArguments(t *testing.T) {
	chatd := filepath.Join(t.TempDir(), "chatd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", chatd, "github.com/chatfleet/chatfleet/chatd").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := sample()
	c.Labels = map[string]string{v1alpha1.LabelPurpose: v1alpha1.PurposeTest}
	c.Spec.Access.TLS = &v1alpha1.TLSSpec{SecretName: "web"}
	c.Spec.Access.Issuers = []v1alpha1.TokenIssuer{
		{Issuer: "https://id", Audience: "chat", Keys: v1alpha1.TokenKeys{URL: "https://id/jwks"}, Algorithms: []v1alpha1.TokenAlgorithm{"ES256", "RS256"}},
		{Issuer: "b", Audience: "chat", Keys: v1alpha1.TokenKeys{SecretRef: v1alpha1.SecretKey{Name: "keys", Key: "set.json"}}},
	}
	c.Spec.Store.Retention.MaxAgeSeconds = 86400
	for role, template := range map[string]func(*v1alpha1.ChatCluster) (corev1.PodTemplateSpec, field.ErrorList){
		"shard": ShardTemplate, "store": StoreTemplate,
	} {
		pod, errs := template(c)
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		var args []string
		for _, arg := range pod.Spec.Containers[0].Args {
			args = append(args, strings.ReplaceAll(arg, "$(POD_NAME)", "demo-x-0"))
		}
		out, err := exec.CommandContext(t.Context(), chatd, append(args, "--print-config")...).CombinedOutput()
		for line := range strings.Lines(string(out)) { // its files are in the pod alone
			if said, ok := strings.CutPrefix(line, "chatd serve: "); ok && !strings.Contains(said, "no such file or directory") {
				t.Errorf("%s: %s", role, said)
			}
		}
		if err == nil {
			t.Errorf("%s: chatd finds files that are not there", role)
		}
		if role == "shard" && !strings.Contains(string(out), "demo-store-2.demo-stores.chat.svc:7422") {
			t.Errorf("the stores are not in what chatd has understood:\n%s", out)
		}
	}
}
