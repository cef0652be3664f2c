package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics that chatd shows on its admin port and that decide something here.
const (
	metricLed        = "chatd_partitions_led"
	metricMetaLeader = "chatd_meta_leader"
)

// maxAdminBytes bounds an answer of an admin port.
const maxAdminBytes = 16 << 20

// admin asks processes' admin ports. A process that stands still does not answer, so every question has a deadline.
var admin = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Ready says whether the process is ready, and if not, why.
func (p *Process) Ready(ctx context.Context) error {
	if !p.Running() {
		return p.failed("ask whether it is ready:", errNotRunning)
	}
	_, err := p.get(ctx, "/readyz")
	return err
}

// Metrics reads the process's metrics: the sum over all labels of each counter, gauge and untyped metric.
func (p *Process) Metrics(ctx context.Context) (map[string]float64, error) {
	if !p.Running() {
		return nil, p.failed("read the metrics of", errNotRunning)
	}
	body, err := p.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		return nil, p.failed("read the metrics of", err)
	}
	sums := make(map[string]float64, len(families))
	for name, family := range families {
		for _, m := range family.GetMetric() {
			sums[name] += value(m)
		}
	}
	return sums, nil
}

func value(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

func (p *Process) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+path, nil)
	if err != nil {
		return "", p.failed("ask", err)
	}
	answer, err := admin.Do(request)
	if err != nil {
		return "", p.failed("ask", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAdminBytes))
	if err != nil {
		return "", p.failed("ask", err)
	}
	if answer.StatusCode != http.StatusOK {
		return "", p.failed("ask", fmt.Errorf("%s: %s %s", path, answer.Status, firstLine(string(body))))
	}
	return string(body), nil
}

// Roles is who leads what.
type Roles struct {
	// Partitions that each running store owns.
	Led map[string]int
	// The store that leads the stores' meta group, "" if none says so.
	MetaLeader string
}

// Roles asks every running store what it leads. Stores that do not answer are left out; it is an error if none does.
func (f *Fleet) Roles(ctx context.Context) (Roles, error) {
	roles := Roles{Led: map[string]int{}}
	var errs []error
	for _, store := range f.Stores() {
		metrics, err := store.Metrics(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		roles.Led[store.Name] = int(metrics[metricLed])
		if metrics[metricMetaLeader] > 0 {
			roles.MetaLeader = store.Name
		}
	}
	if len(roles.Led) == 0 {
		return roles, fmt.Errorf("no store says what it leads: %w", errors.Join(errs...))
	}
	return roles, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), 200)]
}

func indent(text string) string {
	return "  | " + strings.ReplaceAll(text, "\n", "\n  | ")
}
