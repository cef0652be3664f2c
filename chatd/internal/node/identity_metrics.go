package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	keysReadDesc = prometheus.NewDesc("chatd_token_keys_read_timestamp_seconds",
		"When the keys of an issuer of tokens were last read, in seconds since 1970; 0 if they never could be.", []string{"issuer"}, nil)
	revocationsDesc = prometheus.NewDesc("chatd_revocations", "Revocations of users, sessions and tokens that are in force here.", nil, nil)
)

// Describe implements prometheus.Collector.
func (i *identity) Describe(to chan<- *prometheus.Desc) {
	to <- keysReadDesc
	to <- revocationsDesc
}

// Collect implements prometheus.Collector.
func (i *identity) Collect(to chan<- prometheus.Metric) {
	for issuer, read := range i.tokens.KeysRead() {
		seconds := 0.0
		if !read.IsZero() {
			seconds = float64(read.UnixMilli()) / float64(time.Second/time.Millisecond)
		}
		to <- prometheus.MustNewConstMetric(keysReadDesc, prometheus.GaugeValue, seconds, issuer)
	}
	to <- prometheus.MustNewConstMetric(revocationsDesc, prometheus.GaugeValue, float64(i.revoked.Len()))
}
