package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// The golden files are the formats as others read them: change them knowingly.
func TestFormatsAreAsOthersReadThem(t *testing.T) {
	r := New(sampleSmall(t))
	for file, render := range map[string]func(w io.Writer, r Report) error{
		"small.report.json": RenderJSON, "small.junit.xml": RenderJUnit,
	} {
		var got bytes.Buffer
		if err := render(&got, r); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil { // a source file
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s changed; look at it, then go test ./simulator/internal/report -run Formats -update\n%s", golden, firstDifference(got.String(), string(want)))
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + w[i]
		}
	}
	return "one is longer"
}

// Fields that other programs, and people's scripts, rely on.
func TestReportHasItsFields(t *testing.T) {
	var text bytes.Buffer
	if err := RenderJSON(&text, New(sampleSmall(t))); err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(text.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for object, fields := range map[string]string{
		"":           "schema verdict exitCode reasons scenario label startedAt spectrum histograms series phases spec",
		"deliveries": "expected delivered duplicate late lost unordered", "latencyMs": "p50 p99 p999 max",
		"broadcasts": "recipients timeTo999Ms timeToLastMs", "sessions": "wanted established signedIn",
		"posts": "intended sent acknowledged longestWaitMs", "generator": "healthy reasons sharesCoresWithFleet",
		"fleet":      "stores shards replicas durability rssBytesPerSession cpuMicrosPerDelivery",
		"thresholds": "metric bound value verdict", "faults": "what target atMs role longestAckWaitMs longestDeliveryWaitMs",
		"histograms": "delivery sendLag service response", "clock": "source trusted stepMs",
	} {
		in := any(r)
		if object != "" {
			in = r[object]
		}
		if list, ok := in.([]any); ok && len(list) > 0 {
			in = list[0]
		}
		m, _ := in.(map[string]any)
		for field := range strings.FieldsSeq(fields) {
			if _, ok := m[field]; !ok {
				t.Errorf("%s.%s is missing", object, field)
			}
		}
	}
}

func TestWriteAndReadKeepEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out", "run")
	keepsEverything(t, filepath.Join(dir, "measured"), New(sampleBroadcast(t)))
	keepsEverything(t, filepath.Join(dir, "modelled"), New(sampleModelled(t)))
}

func keepsEverything(t *testing.T, dir string, want Report) {
	t.Helper()
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, JSONFile)} {
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := render(t, RenderJSON, got), render(t, RenderJSON, want); a != b {
			t.Errorf("report.json changed: %s", firstDifference(a, b))
		}
		if a, b := render(t, RenderHTML, got), render(t, RenderHTML, want); a != b {
			t.Errorf("the page made from report.json is another: %s", firstDifference(a, b))
		}
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{JUnitFile, HLogFile, HTMLFile, JSONFile}) {
		t.Errorf("files %v", got)
	}
}

func TestWriteLeavesNothingOfAnotherRun(t *testing.T) {
	dir := t.TempDir()
	r := New(sampleSmall(t))
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	r.Spec.Outputs = []v1alpha1.Output{v1alpha1.JUnit}
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{JUnitFile, JSONFile}) {
		t.Errorf("files %v", got)
	}
}

func TestReadRefusesOtherFiles(t *testing.T) {
	for text, want := range map[string]string{
		"hello":                 "is not a report.json",
		`{"schema": "else/v9"}`: `has the schema "else/v9"`,
		`{}`:                    `has the schema ""`,
		`{"schema":"` + Schema + `","histograms":{"delivery":{"count":3,"hdr":"x"}}}`: "decode histogram",
	} {
		path := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestJUnitSaysWhatHappened(t *testing.T) {
	type outcome struct{ Tests, Failures, Errors, Skipped int }
	tests := map[string]struct {
		spoil func(m *verdict.Measurements)
		want  outcome
		text  string
	}{
		"inconclusive is skipped": {func(*verdict.Measurements) {}, outcome{8, 1, 0, 1}, "inconclusive: 0 samples; it takes 1"},
		"a loss is a failure":     {func(m *verdict.Measurements) { m.Deliveries.Lost = 2 }, outcome{8, 2, 0, 1}, "2; the bound is 0"},
		"an ill generator is an error": {func(m *verdict.Measurements) { m.Generator.CapsReached = []string{"a <cap>"} },
			outcome{8, 0, 7, 1}, "a &lt;cap&gt;; it was"},
	}
	for name, tt := range tests {
		run := sampleSmall(t)
		tt.spoil(&run.Measurements)
		text := render(t, RenderJUnit, New(run))
		var suite junitSuite
		if err := xml.Unmarshal([]byte(text), &suite); err != nil {
			t.Fatal(err)
		}
		if got := (outcome{suite.Tests, suite.Failures, suite.Errors, suite.Skipped}); got != tt.want || len(suite.Cases) != got.Tests {
			t.Errorf("%s: %+v with %d cases, want %+v", name, got, len(suite.Cases), tt.want)
		}
		if !strings.Contains(text, tt.text) {
			t.Errorf("%s: it does not say %q", name, tt.text)
		}
	}
}

func TestHLogIsReadByItsOwnReader(t *testing.T) {
	run := sampleSmall(t)
	text := render(t, RenderHLog, New(run))
	reader := hdrhistogram.NewHistogramLogReader(strings.NewReader(text))
	counts := map[string]int64{}
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		counts[h.Tag()] = h.TotalCount()
		if h.Tag() == "delivery" && h.Max() < 150_000 {
			t.Errorf("the longest delivery is %d µs", h.Max())
		}
	}
	if want := map[string]int64{"delivery": 8, "response": 2, "service": 2, "sendLag": 2}; !reflect.DeepEqual(counts, want) {
		t.Errorf("counts %v, want %v", counts, want)
	}
}

func render(t *testing.T, as func(io.Writer, Report) error, r Report) string {
	t.Helper()
	var text strings.Builder
	if err := as(&text, r); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
