package scenario

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

func (r *rules) faults() {
	titles := map[string]string{}
	for i, f := range r.s.Faults {
		path := fmt.Sprintf("faults[%d]", i)
		if before, taken := titles[f.Title()]; taken {
			r.report(path, "it has the same name, %q, as %s; give it another name", f.Title(), before)
		}
		titles[f.Title()] = path
		r.action(path, f)
		r.faultTarget(path, f)
		lasts, returns := f.Lasts()
		r.schedule(path, f.Schedule, lasts)
		if f.Count > 1 && f.Every > 0 && returns && f.Every.Std() <= lasts {
			r.report(path+".every", "the next one comes before the process is back after %s; raise every", lasts)
		}
	}
}

func (r *rules) action(path string, f v1alpha1.Fault) {
	switch cuts, sessions := f.Action == v1alpha1.Cut, f.Target == v1alpha1.Sessions; {
	case cuts && !sessions:
		r.report(path+".target", "cut is done to sessions, not to %s", f.Target)
	case !cuts && sessions:
		r.report(path+".target", "sessions can only be cut; %s is done to a process", f.Action)
	case cuts && f.Share == 0:
		r.report(path, "cut needs share: which share of all sessions loses its connection, above 0 up to 1")
	case !cuts && f.Share > 0:
		r.report(path+".share", "it belongs to cut, not to %s; remove it", f.Action)
	}
	switch {
	case f.Action == v1alpha1.Stop && f.For == 0:
		r.report(path, "stop needs for: how long the process stands still, above 0s")
	case f.Action != v1alpha1.Stop && f.For > 0:
		r.report(path+".for", "it belongs to stop, not to %s; remove it", f.Action)
	}
	switch {
	case f.Action != v1alpha1.Kill && f.RestartAfter > 0:
		r.report(path+".restartAfter", "it belongs to kill, not to %s; remove it", f.Action)
	case f.Action == v1alpha1.Kill && f.RestartAfter == 0 && f.Target == v1alpha1.AllStores:
		r.report(path, "without restartAfter no store ever comes back")
	case f.Action == v1alpha1.Kill && f.RestartAfter == 0 && f.Count > 1:
		r.report(path, "killed %d times, it needs restartAfter: when the process is started again", f.Count)
	}
}

// faultTarget checks a process that is named against the local fleet that the scenario names, if it does.
func (r *rules) faultTarget(path string, f v1alpha1.Fault) {
	local := r.s.Target.Local
	role, digits, named := strings.Cut(string(f.Target), "-")
	n, err := strconv.Atoi(digits)
	if local == nil || !named || err != nil {
		return
	}
	have := local.Shards
	if role == "store" {
		have = local.Stores
	}
	if n >= have {
		r.report(path+".target", "there is no %s; target.local has %s-0 to %s-%d", f.Target, role, role, have-1)
	}
}
