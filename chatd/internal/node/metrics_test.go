package node

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsPage = "../../../docs/metrics.md"

// The page is made of what a member really exports (name, type, labels, help) and of the table in metrics_table_test.go (unit, worry).
// A metric that is missing from the table, or in it and not there, fails.
func TestMetricsAreDocumented(t *testing.T) {
	p := newPKI(t)
	m := runMember(t, Combined, p.secure(certs.Store))
	m.http = p.client(certs.Monitor)
	exercise(t, m)
	families := m.scrape()
	for name := range families {
		if _, ok := metricsTable[name]; !ok && strings.HasPrefix(name, "chatd_") {
			t.Errorf("%s (%s) is not in the table of metrics_table_test.go: add its unit and when to worry", name, families[name].GetHelp())
		}
	}
	for name := range metricsTable {
		if families[name] == nil {
			t.Errorf("%s is in the table of metrics_table_test.go, but no member exports it", name)
		}
	}
	if t.Failed() {
		return
	}
	page := renderMetrics(families)
	if *update {
		if err := os.WriteFile(metricsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(metricsPage); err != nil || !bytes.Equal(have, page) {
		t.Errorf("docs/metrics.md is not what the code says (%v); `go test ./chatd/internal/node -run TestMetricsAreDocumented -update` makes it", err)
	}
}

// exercise has every kind of metric counted once.
func exercise(t *testing.T, m *member) {
	t.Helper()
	c := m.connect(1)[0]
	ask := func(f *chatv1.ClientFrame) *chatv1.ServerFrame {
		data, err := proto.Marshal(f)
		if err == nil {
			err = c.Write(t.Context(), websocket.MessageBinary, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		for {
			got, err := readFrame(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if got.GetRef() == f.GetRef() {
				return got
			}
		}
	}
	log := ask(&chatv1.ClientFrame{Ref: 2, Body: &chatv1.ClientFrame_Create{Create: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t", RandomId: 1}}}).GetCreated().GetLog()
	if got := ask(&chatv1.ClientFrame{Ref: 3, Body: &chatv1.ClientFrame_Post{Post: &chatv1.PostRequest{Log: log, RandomId: 2, Message: &chatv1.Message{Text: "x"}}}}); got.GetPosted() == nil {
		t.Fatalf("a post was answered %v", got)
	}
}

func (m *member) scrape() map[string]*dto.MetricFamily {
	m.t.Helper()
	resp, err := m.http.Get(m.admin + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return families
}

func renderMetrics(families map[string]*dto.MetricFamily) []byte {
	var b bytes.Buffer
	b.WriteString(metricsIntro)
	for _, part := range []struct{ role, title string }{
		{"shard", "Of a member with sessions (shard, combined)"}, {"store", "Of a member with logs (store, combined)"},
		{"certificates", "Of a member with certificates (`cluster.tlsDirectory`, `tls.certificateFile`)"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| name | type | unit | labels | meaning | worry when |\n|---|---|---|---|---|---|\n", part.title)
		for _, name := range slices.Sorted(maps.Keys(metricsTable)) {
			row := metricsTable[name]
			if row.role != part.role {
				continue
			}
			f := families[name]
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), row.unit, labelsOf(f), f.GetHelp(), cmp.Or(row.worry, "–"))
		}
	}
	return b.Bytes()
}

func labelsOf(f *dto.MetricFamily) string {
	var names []string
	for _, l := range f.GetMetric()[0].GetLabel() {
		names = append(names, "`"+l.GetName()+"`")
	}
	if len(names) == 0 {
		return "–"
	}
	return strings.Join(names, ", ")
}
