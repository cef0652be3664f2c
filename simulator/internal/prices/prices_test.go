package prices

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheExampleSaysThatItIsOne(t *testing.T) {
	l := Example()
	if !strings.Contains(l.Name, "example") || l.Date.IsZero() || l.Currency == "" {
		t.Errorf("%+v", l)
	}
}

// Each case changes the example in one way and says what must be in the error.
func TestWhatIsWrongIsSaid(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"an unknown key":      {"egressGB", "egressGiB", `unknown field "egressGiB"`},
		"a price less":        {"coreHour: 0.04\n", "", "coreHour must be above 0"},
		"a price of nothing":  {"gibHour: 0.005", "gibHour: 0", "gibHour must be above 0"},
		"a text for a number": {"0.05", "cheap", ":9:11:"},
		"another version":     {"prices/v1", "prices/v2", "this program reads chatfleet.io/prices/v1 Prices"},
		"no date":             {"date: 2026-11-30\n", "", "date is missing"},
		"no currency":         {"currency: USD\n", "", "currency is missing"},
	} {
		if !strings.Contains(string(example), tt.old) {
			t.Fatalf("%s: the example has no %q", name, tt.old)
		}
		path := filepath.Join(t.TempDir(), "prices.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(string(example), tt.old, tt.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want %q and the file", name, err, tt.want)
		}
	}
	if _, err := Load("no-such.yaml"); err == nil || !strings.Contains(err.Error(), "no-such.yaml") {
		t.Errorf("no file: %v", err)
	}
}
