package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	keysReadDesc = prometheus.NewDesc("chatd_token_keys_read_timestamp_seconds",
		"When the keys of an issuer of tokens were last read, in seconds since 1970; 0 if they never could be.", []string{"issuer"}, nil)
	revocationsDesc      = prometheus.NewDesc("chatd_revocations", "Revocations of users, sessions and tokens that are in force here.", nil, nil)
	revocationsKnownDesc = prometheus.NewDesc("chatd_revocations_known_timestamp_seconds",
		"When the list of revocations was last known to be as the stores have it, in seconds since 1970; 0 if never.", nil, nil)
)

// Describe implements prometheus.Collector.
func (i *identity) Describe(to chan<- *prometheus.Desc) {
	to <- keysReadDesc
	to <- revocationsDesc
	to <- revocationsKnownDesc
}

// Collect implements prometheus.Collector.
func (i *identity) Collect(to chan<- prometheus.Metric) {
	for issuer, read := range i.tokens.KeysRead() {
		to <- prometheus.MustNewConstMetric(keysReadDesc, prometheus.GaugeValue, seconds(read), issuer)
	}
	to <- prometheus.MustNewConstMetric(revocationsDesc, prometheus.GaugeValue, float64(i.revoked.Len()))
	to <- prometheus.MustNewConstMetric(revocationsKnownDesc, prometheus.GaugeValue, seconds(i.revoked.HeardAt()))
}

// seconds since 1970; 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
