package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxFileBytes bounds a configuration file.
	maxFileBytes = 64 << 10
	// maxDepth bounds how deep values are nested in one line; the YAML parser's time grows with the square.
	maxDepth = 8
)

// reader compares a file with the table and sets what it gives. It goes on after what is wrong: the YAML library's own strict
// decoding stops at the first error, and knows no bounds.
type reader struct {
	*loading
	file string
}

// read reads a file's content.
func (r *reader) read(data []byte) {
	root, err := document(data)
	if err != nil {
		var at *placed
		where := r.file
		if errors.As(err, &at) {
			where = r.at(at.pos)
		}
		r.report(where, "", "%v", err)
		return
	}
	if root != nil {
		r.mapping(root, "")
	}
}

// at is a place in the file, as tools want it.
func (r *reader) at(pos *token.Position) string {
	if pos == nil {
		return r.file
	}
	return fmt.Sprintf("%s:%d:%d", r.file, pos.Line, pos.Column)
}

// placed is an error with its place.
type placed struct {
	pos *token.Position
	msg string
}

func (p *placed) Error() string { return p.msg }

// document is the root of the file's one document; nil if nothing stands in it.
func document(data []byte) (ast.Node, error) {
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("the file is larger than %d KiB", maxFileBytes>>10)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not UTF-8 text")
	}
	tokens := lexer.Tokenize(string(data))
	if err := tooDeep(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		var e yaml.Error
		if !errors.As(err, &e) {
			return nil, err
		}
		p := &placed{msg: e.GetMessage()}
		if t := e.GetToken(); t != nil {
			p.pos = t.Position
		}
		return nil, p
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		if root != nil {
			return nil, &placed{positionOf(doc.Body), "a second document: a file holds one configuration"}
		}
		root = doc.Body
	}
	return root, nil
}

func tooDeep(tokens token.Tokens) error {
	brackets, dashes, line := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType:
			if t.Position.Line != line {
				line, dashes = t.Position.Line, 0
			}
			dashes++
		}
		if brackets > maxDepth || dashes > maxDepth {
			return &placed{t.Position, "values are nested too deep"}
		}
	}
	return nil
}

func positionOf(n ast.Node) *token.Position {
	// A mapping's own token is its first colon.
	switch m := n.(type) {
	case *ast.MappingValueNode:
		n = m.Key
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			n = m.Values[0].Key
		}
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}

func (r *reader) problem(n ast.Node, key, format string, args ...any) {
	r.report(r.at(positionOf(n)), key, format, args...)
}

// mapping reads a section; "" is the whole file.
func (r *reader) mapping(n ast.Node, section string) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.problem(n, section, "want keys and values, found %s", describe(n))
		return
	}
	seen := map[string]bool{}
	for _, v := range values {
		name := scalarText(v.Key)
		key := name
		if section != "" {
			key = section + "." + name
		}
		s, isSetting := r.byKey[key]
		switch {
		case v.Key.IsMergeKey():
			r.problem(v.Key, "", "anchors, aliases and merges are not allowed: write the value out")
		case seen[key]:
			r.problem(v.Key, key, "it is given twice")
		case isSetting:
			r.setting(v.Value, s)
		case r.sections[key]:
			if _, empty := v.Value.(*ast.NullNode); empty {
				r.problem(v.Key, key, "it is empty: give it values or remove it")
			} else {
				r.mapping(v.Value, key)
			}
		default:
			r.problem(v.Key, "", "unknown key %s%s", quote(key), r.suggest(key, section))
		}
		seen[key] = true
	}
}

// suggest says which key was probably meant, else which ones there are.
func (r *reader) suggest(key, section string) string {
	if near := didYouMean(key, r.keys()); near != "" {
		return near
	}
	var here []string
	seen := map[string]bool{}
	for _, k := range r.keys() {
		rest := strings.TrimPrefix(k, section)
		if rest == k && section != "" {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(rest, "."), ".")
		if !seen[name] {
			here = append(here, name)
		}
		seen[name] = true
	}
	return "; known are " + strings.Join(here, ", ")
}

// setting reads the value of one key.
func (r *reader) setting(n ast.Node, s setting) {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.problem(n, s.key, "anchors, aliases and tags are not allowed: write the value out")
		return
	case *ast.NullNode:
		r.problem(n, s.key, "it is empty: give it a value or remove it")
		return
	}
	if s.value.kind() == listKind {
		r.list(n, s)
		return
	}
	if problem := wrongKind(n, s.value.kind()); problem != "" {
		r.problem(n, s.key, "%s", problem)
		return
	}
	r.set(s, scalarText(n), r.at(positionOf(n)))
}

func (r *reader) list(n ast.Node, s setting) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		r.problem(n, s.key, "want a list, found %s; write it as [a, b]", describe(n))
		return
	}
	t := s.value.(*texts)
	entries, good := make([]string, len(sequence.Values)), true
	for i, e := range sequence.Values {
		entries[i] = scalarText(e)
		if problem := wrongKind(e, textKind); problem != "" {
			r.problem(e, s.key, "%s", problem)
			good = false
		} else if err := t.entry(entries[i]); err != nil {
			r.problem(e, s.key, "%v", err)
			good = false
		}
	}
	if !good {
		return
	}
	if err := t.setAll(entries); err != nil {
		r.problem(n, s.key, "%v", err)
		return
	}
	r.origins[s.key] = r.at(positionOf(n))
}

// wrongKind says what is wrong with a scalar of another kind; "" if nothing is.
func wrongKind(n ast.Node, want kind) string {
	isText := false
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		isText = true
	case *ast.IntegerNode, *ast.FloatNode:
		if want != textKind {
			return ""
		}
	}
	switch {
	case isText && want != numberKind:
		return ""
	case want == textKind && isScalar(n):
		return "want text, found " + describe(n) + "; put it in quotes"
	case want == textKind:
		return "want text, found " + describe(n)
	case want == sizeKind:
		return "want a size, found " + describe(n)
	}
	return "want a number, found " + describe(n)
}

func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

// scalarText is what stands in the document, without quotes.
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
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "the text " + quote(scalarText(n))
	}
	if isScalar(n) {
		return scalarText(n)
	}
	return "something else"
}
