package certs

import "github.com/prometheus/client_golang/prometheus"

var (
	expiry = prometheus.NewDesc("chatd_certificate_expiry_seconds",
		"When the certificate in use ends, in seconds since 1970, by whom it is shown to: members or clients.", []string{"for"}, nil)
	stale = prometheus.NewDesc("chatd_certificate_files_broken",
		"1 while what stands in a certificate's files is of no use, and the one before stays in use.", []string{"for"}, nil)
)

// Collector has the metrics of sources; none may be there twice.
type Collector []*Source

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) { ch <- expiry; ch <- stale }

// Collect implements prometheus.Collector.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c {
		broken := 0.0
		if s.broken.Load() {
			broken = 1
		}
		ch <- prometheus.MustNewConstMetric(expiry, prometheus.GaugeValue, float64(s.expires().Unix()), s.use)
		ch <- prometheus.MustNewConstMetric(stale, prometheus.GaugeValue, broken, s.use)
	}
}

// Refusals counts whom a member has refused.
func (m *Members) Refusals() prometheus.Collector { return m.refusals.count }
