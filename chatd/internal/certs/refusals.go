package certs

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal says why the other end of a connection may not be there: a word for metrics, and a sentence.
type refusal struct{ reason, text string }

// reasons are all words that there are.
var reasons = []string{"missing", "untrusted", "expired", "early", "identity", "fleet", "role"}

// ports that certificates are asked for at.
var ports = []string{PortStores, PortLeaf, PortAdmin}

// The ports of a member, as logs and metrics name them.
const (
	PortStores = "stores"
	PortLeaf   = "leaf"
	PortAdmin  = "admin"
)

// ErrRefused is the error of a handshake that was refused, and has been logged.
var ErrRefused = errors.New("certificate refused")

const (
	// sayEvery is how often the same refusal is logged: who is refused tries again at once, for as long as it takes.
	sayEvery = time.Minute
	// maxSaid bounds what is remembered of it.
	maxSaid = 1024
)

// refusals logs and counts who was refused.
type refusals struct {
	log   *slog.Logger
	count *prometheus.CounterVec

	mu   sync.Mutex
	said map[string]time.Time
}

func newRefusals(log *slog.Logger) *refusals {
	r := &refusals{log: log, said: make(map[string]time.Time), count: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "chatd", Name: "certificates_refused_total",
		Help: "Connections between members, and to the admin port, that were refused for the other end's certificate, by port and reason.",
	}, []string{"port", "reason"})}
	for _, p := range ports {
		for _, why := range reasons {
			r.count.WithLabelValues(p, why)
		}
	}
	return r
}

// note is the error for a refusal, nil for none.
func (r *refusals) note(port, from string, no *refusal) error {
	if no == nil {
		return nil
	}
	r.count.WithLabelValues(port, no.reason).Inc()
	host, _, err := net.SplitHostPort(from)
	if err != nil {
		host = from
	}
	if r.fresh(port + " " + host + " " + no.text) {
		r.log.Warn("refused a connection for its certificate", "port", port, "other", host, "why", no.text)
	}
	return errors.Join(ErrRefused, errors.New(no.text))
}

// fresh says whether something was not said for a while.
func (r *refusals) fresh(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.said[what]) < sayEvery {
		return false
	}
	if len(r.said) >= maxSaid {
		clear(r.said)
	}
	r.said[what] = now
	return true
}
