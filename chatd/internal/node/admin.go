package node

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminHandler serves the admin port:
//
//	/healthz      200 while the process works
//	/readyz       200 while it should get work, else 503 and what is missing
//	/metrics      Prometheus; docs/metrics.md says what each means
//	/debug/pprof  Go's profiles
//	/chatfleet.admin.v1.AdminService/…  drains and status: proto/admin/v1
//
// The profiles are always there: one wants them of the process that misbehaves now, and a restart with a flag would cure it. They cost
// nothing until they are asked for. What they and the drain can do to a member is why the port is for operators alone; that no web
// page makes an operator's browser ask for it is seen to here.
func (n *node) adminHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	n.addProbes(mux)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle(n.adminMethods())
	return http.NewCrossOriginProtection().Handler(monitorsRead(mux))
}

// addProbes adds what tells whether the member works, and whether it should get work.
func (n *node) addProbes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := n.ready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
}

// ready is nil if the member should get work, else it says what is missing.
func (n *node) ready() error { return errors.Join(n.missing()...) }

// missing is what keeps the member from getting work.
func (n *node) missing() (why []error) {
	switch {
	case n.draining.Load():
		return []error{errors.New("on its way out")}
	case !n.started.Load():
		return []error{errors.New("starting")}
	}
	if n.shard != nil && n.shard.Leaving() {
		why = append(why, errors.New("its sessions are being sent away"))
	}
	if n.store != nil {
		why = appendError(why, n.store.Ready())
	}
	if n.link != nil {
		why = appendError(why, n.link.Ready())
	}
	return why
}

func appendError(all []error, err error) []error {
	if err == nil {
		return all
	}
	return append(all, err)
}
