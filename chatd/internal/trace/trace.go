// Package trace follows single posts through the fleet, from the shard that took one to the last session that got it, as OpenTelemetry
// spans:
//
//	post        the shard that took it, until its answer is ready
//	└ ask       the request to the log's owner, repeats included
//	  └ append  the owner: from its decision until the stream has acknowledged the event
//	    └ push      from there to one shard that follows the log; by the clocks of two machines
//	      └ fan-out from that shard's ring until the last of its sessions has been written to
//
// It is off unless the environment names where traces go (OTEL_EXPORTER_OTLP_ENDPOINT and its like), and then takes one post in a
// thousand (OTEL_TRACES_SAMPLER says otherwise). What is not sampled costs a comparison on the way and nothing at all for each delivery. It
// is not for logs, metrics or anything that a user wrote: a span holds the log's id and numbers.
//
// Package node makes a Tracer; shard and owner begin and end spans. A nil Tracer and a nil Span do nothing.
package trace

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// defaultRatio of posts is traced where the environment does not say.
const defaultRatio = 0.001

// Tracer makes spans, and sends those that are sampled away.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// FromEnvironment makes a Tracer as the OTEL_ variables have it: nil if they name no place for traces.
func FromEnvironment(ctx context.Context, getenv func(string) string, name, role string, log *slog.Logger) (*Tracer, error) {
	on, err := wanted(getenv)
	if err != nil || !on {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing to send traces: %w", err)
	}
	from, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "chatd"), attribute.String("service.instance.id", name),
		attribute.String("chatfleet.role", role)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES or OTEL_SERVICE_NAME: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not sent", "err", err) }))
	opts := []sdktrace.TracerProviderOption{sdktrace.WithBatcher(exporter), sdktrace.WithResource(from)}
	if getenv("OTEL_TRACES_SAMPLER") == "" {
		opts = append(opts, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(defaultRatio))))
	}
	provider := sdktrace.NewTracerProvider(opts...)
	return &Tracer{provider, provider.Tracer("github.com/chatfleet/chatfleet/chatd")}, nil
}

// wanted says whether the environment asks for traces, in a way that this program can.
func wanted(getenv func(string) string) (bool, error) {
	first := func(names ...string) (name, value string) {
		for _, name := range names {
			if v := strings.TrimSpace(getenv(name)); v != "" {
				return name, v
			}
		}
		return "", ""
	}
	exporter := strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER"))
	_, endpoint := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	switch {
	case strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true"), exporter == "none", exporter == "" && endpoint == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER=%s: want otlp or none", exporter)
	}
	if name, protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return false, fmt.Errorf("%s=%s: want http/protobuf, the one protocol that chatd sends traces in", name, protocol)
	}
	return true, nil
}

// Stop sends what has not been sent, and ends.
func (t *Tracer) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// On reports whether there is anything to be done.
func (t *Tracer) On() bool { return t != nil }

// Span is a part of a post's way that is being sampled.
type Span struct{ span trace.Span }

// Begin begins the trace of a post, if it is one that is sampled; else it returns nil.
func (t *Tracer) Begin(name, log string, at time.Time) *Span {
	if t == nil {
		return nil
	}
	return t.start(context.Background(), name, log, at, trace.SpanKindServer)
}

// Follow begins a span under the one that a mark names; nil if it names none.
func (t *Tracer) Follow(mark []byte, name, log string, at time.Time) *Span {
	if t == nil || len(mark) < markBytes {
		return nil
	}
	parent := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled, Remote: true}
	copy(parent.TraceID[:], mark)
	copy(parent.SpanID[:], mark[16:])
	return t.start(trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(parent)), name, log, at, trace.SpanKindInternal)
}

func (t *Tracer) start(ctx context.Context, name, log string, at time.Time, kind trace.SpanKind) *Span {
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(at), trace.WithSpanKind(kind), trace.WithAttributes(attribute.String("chatfleet.log", log)))
	if !span.IsRecording() {
		return nil
	}
	return &Span{span}
}

// Set notes a number.
func (s *Span) Set(name string, value int) {
	if s != nil {
		s.span.SetAttributes(attribute.Int("chatfleet."+name, value))
	}
}

// Fail notes why it did not succeed: the code of an error.
func (s *Span) Fail(code string) {
	if s != nil {
		s.span.SetStatus(codes.Error, code)
	}
}

// End ends the span.
func (s *Span) End(at time.Time) {
	if s != nil {
		s.span.End(trace.WithTimestamp(at))
	}
}

// A mark names a span to another process: 16 bytes of the trace, 8 of the span, and 8 of when it ended or was sent, in Unix nanoseconds.
const markBytes = 16 + 8 + 8

// Mark is what names the span; nil for none.
func (s *Span) Mark(at time.Time) []byte {
	if s == nil {
		return nil
	}
	c := s.span.SpanContext()
	trace, span := c.TraceID(), c.SpanID()
	mark := append(append(make([]byte, 0, markBytes), trace[:]...), span[:]...)
	return binary.BigEndian.AppendUint64(mark, uint64(at.UnixNano()))
}

// MarkedAt is when a mark was made.
func MarkedAt(mark []byte) (time.Time, error) {
	if len(mark) != markBytes {
		return time.Time{}, errors.New("no mark")
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(mark[24:]))), nil
}
