package gateway_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/refusals.md")

const (
	document = "../../../docs/refusals.md"
	preface  = `<!-- Made by: go test ./chatd/internal/gateway -run RefusalsDocument -update -->

# What is refused, and how

What a stranger can send to a fleet, and what comes back. Each of the %d rows is a test (` + "`go test ./chatd/internal/gateway -run TestRefusals`" + `):
its bytes go over a TCP connection to a real gateway, shard and store, beside a well-behaved session that must get every event of its
log once, in order and in time: none more than 5 s later than it comes to a session where no stranger is. This page is made from the same table.

"Comes back" is the HTTP status, or the close code of the session; where neither stands the session goes on. The codes are those of
[the protocol](protocol.md#15-errors). "When to come back" is ` + "`Retry-After`" + ` over HTTP and ` + "`retryAfterMs`" + ` in a session.
`
)

// The page in docs is what the table says.
func TestRefusalsDocument(t *testing.T) {
	want := render(table())
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("docs/refusals.md is not what the table says: go test ./chatd/internal/gateway -run RefusalsDocument -update")
	}
}

func render(sections []section) string {
	var b strings.Builder
	rows := 0
	for _, s := range sections {
		rows += len(s.rows)
	}
	fmt.Fprintf(&b, preface, rows)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| what is sent | comes back | code | says |\n|---|---|---|---|\n", s.title, s.about)
		for _, r := range s.rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(r.name), cell(r.want.comesBack()), r.want.codeCell(), r.want.saysCell())
		}
	}
	return b.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

func (w want) comesBack() string {
	switch {
	case w.fine && w.status != 0:
		return fmt.Sprintf("%d, nothing is refused", w.status)
	case w.fine:
		return "nothing is refused"
	case w.cut:
		return "the connection is cut"
	case w.status != 0:
		return fmt.Sprintf("%d %s", w.status, http.StatusText(w.status))
	case w.close != 0:
		return fmt.Sprintf("close %d", w.close)
	}
	return "an error; the session goes on"
}

func (w want) codeCell() string {
	if w.code <= 0 {
		return ""
	}
	return "`" + w.code.String() + "`"
}

func (w want) saysCell() string {
	var parts []string
	if w.field != "" {
		parts = append(parts, "field `"+w.field+"`")
	}
	if w.says != "" {
		parts = append(parts, "“… "+cell(w.says)+" …”")
	}
	if w.retry {
		parts = append(parts, "when to come back")
	}
	return strings.Join(parts, "; ")
}
