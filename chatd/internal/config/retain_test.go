package config_test

import (
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/config"
)

// Retention is off by default, and what would have too much go is refused.
func TestRetention(t *testing.T) {
	if c := config.Defaults("host"); c.RetainAge != 0 || c.RetainBytesPerPartition != 0 {
		t.Errorf("the defaults are %v and %d, want none", c.RetainAge, c.RetainBytesPerPartition)
	}
	for args, want := range map[string]string{
		"retain-age=23h59m": "retainAge: 23h59m is less than 24h", "retain-age=-1h": "want 0s to 87600h",
		"retain-bytes-per-partition=1MiB": "retainBytesPerPartition: 1MiB is less than 64MiB",
		"retain-age=24h":                  "", "retain-bytes-per-partition=64MiB": "", "retain-bytes-per-partition=0": "",
	} {
		_, err := load(t, input{args: []string{args}})
		said := err.Error() // this member lacks a secret in any case
		if want != "" && !strings.Contains(said, want) || want == "" && strings.Contains(said, "retain") {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
