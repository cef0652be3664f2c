// Command apilint holds Go types of custom resources to Kubernetes' API conventions, by the rules of kube-api-linter. It is a program of its
// own since as a plugin it would want a golangci-lint built around it.
//
//	apilint ./api/v1alpha1
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/multichecker"
	"sigs.k8s.io/kube-api-linter/pkg/analysis/registry"
	"sigs.k8s.io/kube-api-linter/pkg/config"
	_ "sigs.k8s.io/kube-api-linter/pkg/registration"
)

var (
	linters = config.Linters{
		Enable: []string{"*"},
		Disable: []string{
			"nobools",           // paused is true or false, and nothing will come between
			"minlength",         // strings and lists have theirs; it wants one for sections such as access, and {} does no harm there
			"nomaps",            // requests and limits are maps in every pod
			"nonpointerstructs", // of APIs without a CustomResourceDefinition
			// These do nothing unless they are configured.
			"conflictingmarkers", "dependenttags", "forbiddenmarkers", "namingconventions", "preferredmarkers",
		},
	}
	settings = config.LintersConfig{
		// A field is a pointer where its zero value says something else than its absence.
		"optionalfields": map[string]any{
			"pointers":  map[string]any{"preference": "WhenRequired"},
			"omitempty": map[string]any{"policy": "Ignore"}, // counts in status are written also when they are 0
			"omitzero":  map[string]any{"policy": "SuggestFix"},
		},
		"requiredfields": map[string]any{"omitempty": map[string]any{"policy": "Ignore"}, "omitzero": map[string]any{"policy": "SuggestFix"}},
		"conditions":     map[string]any{"useProtobuf": "Forbid", "usePatchStrategy": "Forbid"},
	}
)

func main() {
	analyzers, err := registry.DefaultRegistry().InitializeLinters(linters, settings)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apilint:", err)
		os.Exit(2)
	}
	for _, a := range analyzers {
		run := a.Run
		a.Run = func(pass *analysis.Pass) (any, error) {
			report := pass.Report
			pass.Report = func(d analysis.Diagnostic) {
				if !agreed(d.Message) {
					report(d)
				}
			}
			return run(pass)
		}
	}
	multichecker.Main(analyzers...)
}

// agreed says that a finding is one that this project does not follow.
func agreed(finding string) bool {
	return strings.Contains(finding, "(false) and should be a pointer") || // false says no more than absence
		strings.Contains(finding, `"size"`) || strings.Contains(finding, "StoreStorage.Size ") // a Quantity has no zero that could be meant
}
