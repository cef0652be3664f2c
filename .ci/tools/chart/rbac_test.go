package chart

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

var update = flag.Bool("update", false, "write what is compared with: testdata, and the table in the chart's README")

// checkRoles: nobody is granted everything of a kind, or a way to more than he has.
func checkRoles(t *testing.T, all manifests) {
	t.Helper()
	for name, rules := range roles(all) {
		for _, rule := range rules {
			for _, what := range slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups, rule.NonResourceURLs) {
				if strings.Contains(what, "*") {
					t.Errorf("%s grants %q: %v", name, what, rule)
				}
			}
			for _, verb := range []string{"escalate", "bind", "impersonate", "approve", "sign"} {
				if slices.Contains(rule.Verbs, verb) {
					t.Errorf("%s grants %q: %v", name, verb, rule)
				}
			}
			for _, resource := range rule.Resources {
				if slices.Contains([]string{"pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "nodes/proxy", "serviceaccounts/token"}, resource) {
					t.Errorf("%s grants a way into others' pods: %v", name, rule)
				}
			}
		}
	}
}

// roles are all rules by their role.
func roles(all manifests) map[string][]rbacv1.PolicyRule {
	rules := map[string][]rbacv1.PolicyRule{}
	for _, r := range of[*rbacv1.ClusterRole](all) {
		rules[id(r)] = r.Rules
	}
	for _, r := range of[*rbacv1.Role](all) {
		rules[id(r)] = r.Rules
	}
	return rules
}

// TestRoles: who may do what stands in testdata, so that a change of it is seen by whoever reviews the change. -update writes it.
func TestRoles(t *testing.T) {
	for file, values := range map[string]string{"cluster-wide": "certManager: {enabled: true}", "namespaced": "watchNamespaces: [chat]"} {
		t.Run(file, func(t *testing.T) {
			var lines []string
			for role, rules := range roles(render(t, values)) {
				for _, rule := range rules {
					what := slices.Clone(rule.NonResourceURLs)
					for _, group := range rule.APIGroups {
						for _, resource := range rule.Resources {
							what = append(what, strings.TrimPrefix(group+"/"+resource, "/"))
						}
					}
					for _, one := range what {
						lines = append(lines, fmt.Sprintf("%-58s %-45s %s", role, one, strings.Join(rule.Verbs, ",")))
					}
				}
			}
			slices.Sort(lines)
			compare(t, "testdata/"+file+".rules", strings.Join(lines, "\n")+"\n")
		})
	}
}

// compare compares with what a file holds, or writes it.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what comes out; if that is meant, run `go test -C .ci/tools/chart . -update`. It comes out:\n%s", file, got)
	}
}
