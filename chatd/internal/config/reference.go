package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

const referenceHead = `# Configuration

Everything that a member of a fleet can be told. Made by ` + "`make generate`" + ` from chatd/internal/config/settings.go; do not edit it.

A setting has one name with three spellings. ` + "`drain.sessionsPerSecond`" + ` in the file is ` + "`--drain-sessions-per-second`" + ` as a flag and
` + "`CHATD_DRAIN_SESSIONS_PER_SECOND`" + ` in the environment. A flag goes before the environment, the environment before the file, the file before
the default. A list is replaced, not added to; flags and variables separate its entries by commas. A variable that is there counts, also
when it is empty.

    chatd serve --config chatd.yaml                     # or CHATD_CONFIG=chatd.yaml
    chatd serve --config chatd.yaml --print-config      # print what is in force and where each value comes from, and end

The file is YAML:

    role: shard
    name: shard-0
    stores: ["10.0.0.1:7422", "10.0.0.2:7422", "10.0.0.3:7422"]
    cluster:
      secretFile: /etc/chatfleet/secret
    token:
      keys: /etc/chatfleet/keys.json
    drain:
      timeout: 60s

What is wrong is refused before anything starts, all of it at once, with exit code 2 and the place:

    chatd serve: chatd.yaml:9:3: unknown key "drain.timeot"; did you mean drain.timeout?

So are variables that begin with CHATD_ and are no setting, but for those that Kubernetes makes for a service of that name. A setting that
a member's role has no use for is checked and otherwise ignored, so that one file can serve a whole fleet. Paths are relative to the
directory that chatd was started in. Sizes are whole bytes, or KiB, MiB, GiB; durations have their units: 500ms, 30s, 5m.

Traces are set up by OpenTelemetry's own variables, ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` and its like; without one there are none.
`

// WriteReference writes docs/configuration.md.
func WriteReference(to io.Writer) error {
	w := bufio.NewWriter(to)
	fmt.Fprint(w, referenceHead)
	c := Defaults("")
	table := settings(&c)
	for _, who := range []string{everybody, sessionHolders, logKeepers} {
		fmt.Fprintf(w, "\n## %s\n\n| key | default | what it is for |\n|---|---|---|\n", who)
		for _, s := range table {
			if s.users() == who {
				fmt.Fprintf(w, "| `%s`<br>`--%s`<br>`%s` | %s | %s |\n", s.key, flagName(s.key), envName(s.key), s.defaultText(), s.docText())
			}
		}
	}
	return w.Flush()
}

const (
	everybody      = "All members"
	sessionHolders = "Members with sessions: shard, combined"
	logKeepers     = "Members that keep logs: store, combined"
)

// users is the heading under which a setting stands.
func (s setting) users() string {
	switch {
	case len(s.roles) == 0:
		return everybody
	case s.usedBy(Shard):
		return sessionHolders
	}
	return logKeepers
}

func (s setting) defaultText() string {
	switch text := s.value.text(); {
	case s.defaultDoc != "":
		return s.defaultDoc
	case text == "":
		return "none"
	default:
		return "`" + text + "`"
	}
}

func (s setting) docText() string {
	text := s.doc
	if b := s.value.bounds(); b != "" {
		text += " " + strings.ToUpper(s.value.unit()[:1]) + s.value.unit()[1:] + ": " + b + "."
	}
	if len(s.roles) == 1 {
		text += " Only for a " + s.roles[0] + "."
	}
	return strings.ReplaceAll(text, "|", "\\|")
}
