package token_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	chatdtoken "github.com/chatfleet/chatfleet/chatd/internal/token"
)

// Every reason of this package has a name of its own, found through what wraps it.
func TestReasonsHaveNames(t *testing.T) {
	declared := 0
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && strings.HasPrefix(v.Names[0].Name, "Err") {
				declared++
			}
			return true
		})
	}
	all := chatdtoken.Reasons()
	if len(all) != declared {
		t.Errorf("%d reasons have names, and there are %d", len(all), declared)
	}
	for name, err := range all {
		if got := chatdtoken.ReasonOf(fmt.Errorf("sign in: %w", &chatdtoken.Error{Reason: err})); got != name {
			t.Errorf("%v is named %q, want %q", err, got, name)
		}
	}
	if got := chatdtoken.ReasonOf(errors.New("something else")); got != "other" {
		t.Errorf("what is no reason of a token is named %q", got)
	}
}
