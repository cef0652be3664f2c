package node

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// spans collects what is sent to an OTLP endpoint.
type spans struct {
	mu  sync.Mutex
	all []*otlp.Span
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	req := new(collector.ExportTraceServiceRequest)
	if err != nil || proto.Unmarshal(body, req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, from := range req.GetResourceSpans() {
		for _, scope := range from.GetScopeSpans() {
			s.all = append(s.all, scope.GetSpans()...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func number(s *otlp.Span, name string) int {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == "chatfleet."+name {
			return int(a.GetValue().GetIntValue())
		}
	}
	return -1
}

// A post that is sampled is followed from the shard that took it to the last session that got it, in one trace.
func TestAPostIsTracedToItsLastDelivery(t *testing.T) {
	got := new(spans)
	srv := httptest.NewServer(got)
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	m := runMember(t, Combined, nil)
	raw, err := m.signer.Sign("ann", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	chat := chatv1connect.NewChatServiceClient(http.DefaultClient, m.clients)
	created := connect.NewRequest(&chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t", RandomId: 1})
	created.Header().Set("Authorization", "Bearer "+raw)
	channel, err := chat.Create(t.Context(), created)
	if err != nil {
		t.Fatal(err)
	}
	const readers = 3
	for range readers {
		c := signIn(t.Context(), t, m.clients, raw, channel.Msg.GetLog())
		defer c.CloseNow()
		defer func() {
			for {
				if f, err := readFrame(t.Context(), c); err != nil || f.GetEvent() != nil {
					return
				}
			}
		}()
	}
	post := connect.NewRequest(&chatv1.PostRequest{Log: channel.Msg.GetLog(), RandomId: 2, Message: &chatv1.Message{Text: "hello"}})
	post.Header().Set("Authorization", "Bearer "+raw)
	posted, err := chat.Post(t.Context(), post)
	if err != nil {
		t.Fatal(err)
	}
	// The deliveries are counted before the member stops.
	for deadline := time.Now().Add(30 * time.Second); m.scrape()["chatd_deliveries_total"].GetMetric()[0].GetCounter().GetValue() < readers; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the post does not reach its readers")
		}
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	parent := ""
	for _, name := range []string{"post", "ask", "append", "push", "fan-out"} {
		var span *otlp.Span
		for _, s := range got.all {
			if s.GetName() == name {
				span = s
			}
		}
		if span == nil || string(span.GetParentSpanId()) != parent || string(span.GetTraceId()) != string(got.all[0].GetTraceId()) ||
			span.GetEndTimeUnixNano() < span.GetStartTimeUnixNano() {
			t.Fatalf("the span %s is %v, want it under %x", name, span, parent)
		}
		parent = string(span.GetSpanId())
		if pts := number(span, "pts"); pts != -1 && pts != int(posted.Msg.GetPts()) {
			t.Errorf("%s is of pts %d, want %d", name, pts, posted.Msg.GetPts())
		}
		if name == "fan-out" && (number(span, "sessions") != readers || number(span, "delivered") != readers) {
			t.Errorf("the fan-out went to %d of %d sessions, want %d", number(span, "delivered"), number(span, "sessions"), readers)
		}
	}
	if len(got.all) != 5 {
		t.Errorf("%d spans for one post, want 5", len(got.all))
	}
}
