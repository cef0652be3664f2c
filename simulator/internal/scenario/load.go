package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// MaxBytes bounds a scenario document.
const MaxBytes = 128 << 10

const (
	// maxProblems bounds a list of problems; who has more begins with these.
	maxProblems = 20

	// maxDepth bounds how deep values are nested in one line. A scenario needs four; the parser's time grows with the square.
	maxDepth = 16
)

// Problem is one thing that is wrong with a scenario.
type Problem struct {
	// The file, or what stands for it.
	File string
	// From 1; 0 if it is about the whole document.
	Line, Column int
	// Of the field, as in faults[2].every; "" for the document.
	Path string
	// What is wrong, and what to do.
	Message string
}

func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	if p.Path != "" {
		s += ": " + p.Path
	}
	return s + ": " + p.Message
}

// Problems is all that is wrong with a scenario, in the order of the document.
type Problems []Problem

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads the scenario in a file; "-" is the standard input. A file that is not a valid scenario is a Problems.
func Load(path string) (*v1alpha1.Scenario, error) {
	if path == "-" {
		return Read("standard input", os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load scenario: %w", err)
	}
	defer f.Close()
	return Read(path, f)
}

// Read reads a scenario. The name stands for the file in problems.
func Read(name string, r io.Reader) (*v1alpha1.Scenario, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read scenario %s: %w", name, err)
	}
	s, problems := parse(data)
	if len(problems) == 0 {
		return s, nil
	}
	for i := range problems {
		problems[i].File = name
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return 1<<16*(a.Line-b.Line) + a.Column - b.Column
	})
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems], Problem{File: name, Message: fmt.Sprintf("and %d more problems", more)})
	}
	return nil, problems
}

// parse finds all that is wrong with the document's structure; if that is nothing, all that is wrong with what it says.
func parse(data []byte) (*v1alpha1.Scenario, Problems) {
	root, problem := document(data)
	if problem != nil {
		return nil, Problems{*problem}
	}
	w := walker{positions: map[string]position{}}
	w.walk(root, scenarioType, "", constraints{})
	if len(w.problems) > 0 {
		return nil, w.problems
	}
	var s v1alpha1.Scenario
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&s); err != nil {
		return nil, Problems{fromLibrary(err)}
	}
	r := rules{s: &s, positions: w.positions}
	r.check()
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	fillDefaults(&s)
	return &s, nil
}

func document(data []byte) (ast.Node, *Problem) {
	if len(data) > MaxBytes {
		return nil, &Problem{Message: fmt.Sprintf("the document is larger than %d KiB", MaxBytes>>10)}
	}
	tokens := lexer.Tokenize(string(data))
	if problem := tooDeep(tokens); problem != nil {
		return nil, problem
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		p := fromLibrary(err)
		return nil, &p
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return nil, &Problem{Message: "the document is empty; a scenario begins with apiVersion and kind"}
	case 1:
		return bodies[0], nil
	}
	at := positionOf(bodies[1])
	return nil, &Problem{Line: at.line, Column: at.column, Message: "a second document; a file holds one scenario"}
}

// tooDeep looks for nesting that no scenario has: brackets in brackets, and lists of lists in a line. Nesting by indentation
// is bounded by the size of the document.
func tooDeep(tokens token.Tokens) *Problem {
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
			return &Problem{Line: t.Position.Line, Column: t.Position.Column, Message: "values are nested too deep"}
		}
	}
	return nil
}

// fromLibrary keeps the place and the words of an error of the YAML library, without its picture of the source.
func fromLibrary(err error) Problem {
	var e yaml.Error
	if !errors.As(err, &e) {
		return Problem{Message: err.Error()}
	}
	p := Problem{Message: e.GetMessage()}
	if t := e.GetToken(); t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	return p
}
