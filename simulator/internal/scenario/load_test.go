package scenario

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// base is the smallest scenario there is.
const base = `apiVersion: chatfleet.io/v1alpha1
kind: Scenario
name: small
population:
  subscribers: 10
phases:
  connect:
    ratePerSecond: 5
  measure: 10s
broadcasts:
  - at: 1s
thresholds:
  - metric: delivery
    bound: 1s
`

func TestTheShippedScenariosLoad(t *testing.T) {
	files, err := filepath.Glob("../../../scenarios/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d scenarios, %v", len(files), err)
	}
	longest := map[string]time.Duration{
		"smoke": time.Minute, "noop-baseline": 90 * time.Second, "broadcast-20k": 100 * time.Second, "reconnect-storm": 4 * time.Minute,
		"broadcast-100k": 6 * time.Minute, "rolling-upgrade": 5 * time.Minute, "store-loss": 6 * time.Minute,
		"clock-step": 90 * time.Second, "steady": 100 * time.Second, "capacity": 30 * time.Second,
		"slow-readers": 32 * time.Minute, "soak": 62 * time.Minute,
		// In simulated time.
		"broadcast-2.5m": 11 * time.Minute, "trillion-month": 722 * time.Hour, "election-surge": 49 * time.Hour,
		"disaster-response": 2 * time.Minute, "art-collective": 2 * time.Minute,
	}
	for _, file := range files {
		s, err := Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if want := strings.TrimSuffix(filepath.Base(file), ".yaml"); s.Name != want {
			t.Errorf("%s is named %q", file, s.Name)
		}
		if e := Expect(s); e.Duration > longest[s.Name] {
			t.Errorf("%s takes %s", s.Name, e.Duration)
		}
	}
}

func TestDefaults(t *testing.T) {
	s := mustRead(t, base)
	if s.Population.DevicesPerUser != 1 || s.Phases.Settle.Std() != 5*time.Second || s.Workers.Count != v1alpha1.AutoWorkers {
		t.Errorf("got %+v", s)
	}
	if b := s.Broadcasts[0]; b.Count != 1 || b.MessageBytes != 200 || b.DeliverWithin.Std() != time.Second {
		t.Errorf("broadcast %+v", b)
	}
	if len(s.Outputs) != 3 {
		t.Errorf("outputs %v", s.Outputs)
	}
	var metrics []string
	for _, th := range s.Thresholds {
		metrics = append(metrics, th.Metric)
		if th.MinSamples != 1 {
			t.Errorf("%s needs %d samples", th.Metric, th.MinSamples)
		}
	}
	if got := strings.Join(metrics, " "); got != "lost duplicate unordered missingAcknowledged missingSessions delivery" {
		t.Errorf("thresholds on %s: what must be 0 in every run is missing", got)
	}
}

func TestAGivenBoundReplacesTheImpliedOne(t *testing.T) {
	s := mustRead(t, base+"  - metric: lost\n    bound: 3\n")
	n := 0
	for _, th := range s.Thresholds {
		if th.Metric == "lost" {
			n++
			if th.Bound.Value != 3 {
				t.Errorf("lost is bounded by %s", th.Bound)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d thresholds on lost", n)
	}
}

// What is loaded can be written and loaded again, and is the same: report.json keeps it.
func TestALoadedScenarioLoadsAgain(t *testing.T) {
	for _, file := range []string{"smoke", "broadcast-20k", "store-loss"} {
		s, err := Load("../../../scenarios/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.MarshalWithOptions(s, yaml.UseJSONMarshaler())
		if err != nil {
			t.Fatal(err)
		}
		again, err := Read("again", strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%s changed:\n%+v\n%+v", file, s, again)
		}
	}
}

func TestTwoScenariosAndNone(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"none":         {"", "f: the document is empty"},
		"only comment": {"# nothing here\n", "f: the document is empty"},
		"two":          {base + "---\n" + base, "a second document"},
		"a list":       {"- a\n", "f:1:1: want keys and values, found a list"},
		"a word":       {"hello\n", `found the text "hello"`},
		"too large":    {base + "# " + strings.Repeat("x", MaxBytes), "f: the document is larger than 128 KiB"},
		"not YAML":     {"a: [1, 2\nb: }", "f:"},
		"not UTF-8":    {"a: \xff\xfe", "f:"},
		"deep":         {strings.Repeat("[", 100_000), "f:1:17: values are nested too deep"},
		"deep lists":   {strings.Repeat("- ", 50_000), "nested too deep"},
		"deep keys":    {"a: 1\nb:\n" + strings.Repeat("{a: ", 20_000), "f:3:"},
	} {
		_, err := Read("f", strings.NewReader(tt.text))
		var problems Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
}

func TestAllProblemsAtOnceInOrder(t *testing.T) {
	text := strings.NewReplacer("subscribers: 10", "subscriber: 10", "measure: 10s", "measure: 10", "metric: delivery", "metrik: delivery").Replace(base)
	_, err := Read("f.yaml", strings.NewReader(text))
	want := `f.yaml:5:3: population.subscriber: unknown key; did you mean subscribers?
f.yaml:5:3: population.subscribers: it is missing
f.yaml:9:12: phases.measure: "10" is not a duration; write a number with its unit, such as 500ms, 4s or 1m30s
f.yaml:13:5: thresholds[0].metrik: unknown key; did you mean metric?
f.yaml:13:5: thresholds[0].metric: it is missing`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load("no-such.yaml"); err == nil || !strings.Contains(err.Error(), "no-such.yaml") {
		t.Errorf("got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(base)
	f.Add("a: &x [*x]\n<<: *x\n")
	f.Add("? [a]\n: {b}\n")
	f.Add("name: !!binary aGk=\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read("f", strings.NewReader(text))
		if err == nil && (s == nil || Expect(s).Duration <= 0) {
			t.Errorf("a scenario of no time: %+v", s)
		}
	})
}

func mustRead(t *testing.T, text string) *v1alpha1.Scenario {
	t.Helper()
	s, err := Read("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
