package shard

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Metrics of a shard. A set of them belongs to one shard.
type Metrics struct {
	registerer prometheus.Registerer
	fetches    *prometheus.CounterVec
	posts      *prometheus.CounterVec
	requests   *prometheus.CounterVec
	ends       *prometheus.CounterVec
	refused    *prometheus.CounterVec
}

// Reasons for which a feed is fetched.
const (
	reasonDigest     = "digest"
	reasonGap        = "gap"
	reasonAttach     = "attach"
	reasonDifference = "difference"
	reasonReconnect  = "reconnect"
)

// notOfToken stands for a reason where a sign-in was not refused for its token.
const notOfToken = "none"

// NewMetrics registers the metrics of a shard.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		registerer: r,
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chatd_fetches_total",
			Help: "Fetches of events from owners, by what they were for."}, []string{"reason"}),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chatd_posts_total",
			Help: "Posts, by outcome: ok, repeated, or the code of the error."}, []string{"outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chatd_requests_total",
			Help: "Requests on sessions, by method."}, []string{"method"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chatd_session_ends_total",
			Help: "Sessions that have ended, by cause."}, []string{"cause"}),
	}
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chatd_sign_ins_refused_total",
		Help: "Sign-ins that were refused, by the code of the error, and by what is wrong with the token: expired, not_yet, signature, unknown_key, audience, revoked and others; none if it is not the token."}, []string{"code", "reason"})
	r.MustRegister(m.fetches, m.posts, m.requests, m.ends, m.refused)
	// All that can be, so that a rate is 0 and not missing before the first.
	for _, reason := range []string{reasonDigest, reasonGap, reasonAttach, reasonDifference, reasonReconnect} {
		m.fetches.WithLabelValues(reason)
	}
	for _, outcome := range []string{"ok", "repeated"} {
		m.posts.WithLabelValues(outcome)
	}
	for _, code := range []chatv1.Error_Code{chatv1.Error_CODE_TOO_MANY, chatv1.Error_CODE_UNAVAILABLE} {
		m.refused.WithLabelValues(codeName(code), notOfToken)
	}
	for reason, err := range token.Reasons() {
		m.refused.WithLabelValues(codeName(tokenFault(err).GetCode()), reason)
	}
	for _, cause := range []string{"client", "server", "silent", "stuck", "violation", "lost"} {
		m.ends.WithLabelValues(cause)
	}
	return m
}

// watch registers what is read off the shard when somebody asks.
func (m *Metrics) watch(sh *Shard) {
	gauge := func(name, help string, f func() float64) {
		m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	counter := func(name, help string, f func() float64) {
		m.registerer.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
	}
	gauge("chatd_sessions", "Connections held, signed in or not.", func() float64 { return float64(sh.Sessions()) })
	gauge("chatd_attached_logs", "Logs that are open because sessions have attached them, or had until just now.", func() float64 {
		return float64(sh.AttachedLogs())
	})
	counter("chatd_deliveries_total", "Events written to sessions: one event to one session is one.", func() float64 {
		return float64(sh.engine.Stats().Deliveries)
	})
	counter("chatd_too_long_total", "Times that a session was told that it has missed events.", func() float64 {
		return float64(sh.engine.Stats().TooLong)
	})
	counter("chatd_written_bytes_total", "Bytes that sessions' sockets have taken.", func() float64 {
		return float64(sh.engine.Stats().WrittenBytes)
	})
	gauge("chatd_sessions_stuck", "Sessions whose sockets take no more for the moment. One that takes nothing for 20 s is closed.", func() float64 {
		return float64(sh.engine.Stats().Stuck)
	})
	gauge("chatd_sessions_ready", "Sessions that have something to be sent and wait for a writer.", func() float64 {
		return float64(sh.engine.Stats().Ready)
	})
	gauge("chatd_recent_rings_bytes", "Memory of the recent events of all open logs.", func() float64 {
		return float64(sh.engine.Stats().RingBytes)
	})
	gauge("chatd_draining", "1 while a drain or a shed is under way or done with and new sessions are refused.", func() float64 {
		if sh.isDraining() {
			return 1
		}
		return 0
	})
	counter("chatd_sent_away_total", "Sessions that drains and sheds have told to leave.", func() float64 {
		sh.sessionsMu.Lock()
		defer sh.sessionsMu.Unlock()
		return float64(sh.drain.sentAway)
	})
}

func (m *Metrics) posted(resp *chatv1.PostResponse, fault *chatv1.Error) {
	switch {
	case fault != nil:
		m.posts.WithLabelValues(codeName(fault.GetCode())).Inc()
	case resp.GetRepeated():
		m.posts.WithLabelValues("repeated").Inc()
	default:
		m.posts.WithLabelValues("ok").Inc()
	}
}

// codeName is an error's code as a label: too_large.
func codeName(code chatv1.Error_Code) string {
	return strings.ToLower(strings.TrimPrefix(code.String(), "CODE_"))
}
