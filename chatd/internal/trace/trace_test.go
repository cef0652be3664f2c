package trace

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestWhatTheEnvironmentAsksFor(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		on   bool
		want string // in the error
	}{
		{nil, false, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false, ""},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "OTEL_TRACES_EXPORTER=zipkin: want otlp"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: want http/protobuf"},
	} {
		on, err := wanted(func(name string) string { return c.env[name] })
		if on != c.on || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v (%v), want %v (%q)", c.env, on, err, c.on, c.want)
		}
	}
}

func TestWithoutATracerNothingIsDoneAndNothingAllocated(t *testing.T) {
	none, err := FromEnvironment(t.Context(), func(string) string { return "" }, "m", "shard", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if none != nil || err != nil {
		t.Fatalf("a tracer that nobody asked for: %v (%v)", none, err)
	}
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		s := none.Begin("post", "c1", now)
		s.Set("sessions", 1)
		if mark := s.Mark(now); mark != nil || none.Follow(mark, "ask", "c1", now) != nil {
			t.Error("a span of nothing")
		}
		s.End(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := none.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
