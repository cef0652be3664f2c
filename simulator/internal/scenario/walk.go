package scenario

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

var (
	scenarioType    = reflect.TypeFor[v1alpha1.Scenario]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// position is a place in the document.
type position struct{ line, column int }

func positionOf(n ast.Node) position {
	// A mapping's own token is its first colon.
	switch m := n.(type) {
	case *ast.MappingValueNode:
		n = m.Key
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			n = m.Values[0].Key
		}
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{1, 1}
}

// walker compares a document with a Go type and its tags, and goes on after what is wrong. The YAML library's own strict
// decoding stops at the first error and knows no bounds.
type walker struct {
	problems  Problems
	positions map[string]position
}

func (w *walker) report(n ast.Node, path, format string, args ...any) {
	at := positionOf(n)
	w.problems = append(w.problems, Problem{Line: at.line, Column: at.column, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (w *walker) walk(n ast.Node, t reflect.Type, path string, c constraints) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if _, seen := w.positions[path]; !seen {
		w.positions[path] = positionOf(n)
	}
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		w.report(n, path, "anchors, aliases and tags are not allowed; write the value out")
		return
	case *ast.NullNode:
		w.report(n, path, "it is empty; give it a value or remove it")
		return
	}
	switch {
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		w.text(n, t, path)
	case t.Kind() == reflect.Struct:
		w.mapping(n, t, path)
	case t.Kind() == reflect.Slice:
		w.sequence(n, t, path, c)
	case t.Kind() == reflect.String:
		w.str(n, path, c)
	case t.Kind() == reflect.Bool:
		if _, ok := n.(*ast.BoolNode); !ok {
			w.report(n, path, "want true or false, found %s", describe(n))
		}
	default:
		w.number(n, t, path, c)
	}
}

func (w *walker) mapping(n ast.Node, t reflect.Type, path string) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		w.report(n, path, "want keys and values, found %s", describe(n))
		return
	}
	fields := fieldsOf(t)
	seen := map[string]bool{}
	for _, v := range values {
		key := scalarText(v.Key)
		at := join(path, key)
		field, known := fields[key]
		switch {
		case v.Key.IsMergeKey():
			w.report(v.Key, path, "anchors, aliases and tags are not allowed; write the value out")
		case !known:
			w.report(v.Key, at, "unknown key%s", suggest(key, keysOf(fields)))
		case seen[key]:
			w.report(v.Key, at, "it is given twice")
		default:
			if !isScalar(v.Value) {
				w.positions[at] = positionOf(v.Key)
			}
			w.walk(v.Value, field.typ, at, field.constraints)
		}
		seen[key] = true
	}
	for _, name := range keysOf(fields) {
		if fields[name].constraints.required && !seen[name] {
			w.report(n, join(path, name), "it is missing")
		}
	}
}

func (w *walker) sequence(n ast.Node, t reflect.Type, path string, c constraints) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		w.report(n, path, "want a list, found %s", describe(n))
		return
	}
	switch {
	case c.maxItems > 0 && len(list.Values) > c.maxItems:
		w.report(n, path, "%d entries; at most %d are allowed", len(list.Values), c.maxItems)
		return
	case len(list.Values) == 0 && c.minItems > 0:
		w.report(n, path, "the list is empty; it needs at least %d", c.minItems)
	case len(list.Values) < c.minItems:
		w.report(n, path, "%d entries; it needs at least %d", len(list.Values), c.minItems)
	}
	var before []string
	for i, v := range list.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		w.walk(v, t.Elem(), at, c.items())
		if text := scalarText(v); c.unique {
			if slices.Contains(before, text) {
				w.report(v, at, "%q is given twice", text)
			}
			before = append(before, text)
		}
	}
}

// text checks what reads itself: durations, sizes, bounds.
func (w *walker) text(n ast.Node, t reflect.Type, path string) {
	if !isScalar(n) {
		w.report(n, path, "want one value, found %s", describe(n))
		return
	}
	v := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	if err := v.UnmarshalText([]byte(scalarText(n))); err != nil {
		w.report(n, path, "%s", err)
	}
}

func (w *walker) str(n ast.Node, path string, c constraints) {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
	default:
		if isScalar(n) {
			w.report(n, path, "want text, found %s; put it in quotes", describe(n))
		} else {
			w.report(n, path, "want text, found %s", describe(n))
		}
		return
	}
	text := scalarText(n)
	switch {
	case len(c.enum) > 0 && !slices.Contains(c.enum, text):
		w.report(n, path, "%q is not one of %s%s", text, strings.Join(c.enum, ", "), didYouMean(text, c.enum))
	case c.pattern != nil && !c.pattern.MatchString(text):
		w.report(n, path, "%q does not have the form that is wanted, %s", text, c.pattern)
	case c.maxLength > 0 && utf8.RuneCountInString(text) > c.maxLength:
		w.report(n, path, "it is longer than %d characters", c.maxLength)
	}
}

func (w *walker) number(n ast.Node, t reflect.Type, path string, c constraints) {
	text := scalarText(n)
	var value float64
	var err error
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		switch t.Kind() {
		case reflect.Float64:
			value, err = strconv.ParseFloat(text, 64)
		case reflect.Uint64:
			var u uint64
			u, err = strconv.ParseUint(text, 10, 64)
			value = float64(u)
		default:
			var i int64
			i, err = strconv.ParseInt(text, 10, 64)
			value = float64(i)
		}
	default:
		w.report(n, path, "want a number, found %s", describe(n))
		return
	}
	if err != nil {
		want := "a whole decimal number"
		if t.Kind() == reflect.Float64 {
			want = "a decimal number"
		} else if t.Kind() == reflect.Uint64 {
			want += " of at least 0"
		}
		w.report(n, path, "%s is not %s", text, want)
		return
	}
	if problem := c.outOfRange(value, text); problem != "" {
		w.report(n, path, "%s", problem)
	}
}

func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

// scalarText returns what stands in the document, without quotes.
func scalarText(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	}
	if !isScalar(n) || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "the text " + strconv.Quote(shorten(scalarText(n)))
	}
	if isScalar(n) {
		return shorten(scalarText(n))
	}
	return "something else"
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) > 40 {
		return string([]rune(s)[:40]) + "…"
	}
	return s
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
