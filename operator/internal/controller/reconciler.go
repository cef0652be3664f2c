package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/convert"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	"github.com/chatfleet/chatfleet/operator/internal/status"
)

const (
	// lookAgain is how often a fleet is looked at that nothing happens to: its sessions are told by its members alone.
	lookAgain = 15 * time.Second
	// sessionsEvery is how often the number of sessions is written at most.
	sessionsEvery = 30 * time.Second
)

// Reconciler looks after fleets.
type Reconciler struct {
	client.Client
	// Uncached reads what the cache does not hold: Secrets that users have named.
	Uncached client.Reader
	Events   events.EventRecorder
	Members  Asker
	Now      func() time.Time
	// Nodes says that nodes and storage classes may be read.
	Nodes bool

	// Carry does an action; nil is the action itself. Tests have the operator die here.
	Carry func(ctx context.Context, a plan.Action, by plan.Actor) error

	written times // when sessions were last written, by ChatCluster
	peaks   peaks
	dropped sync.Map // the generation for which a Certificate was looked for that is asked for no more, by ChatCluster
}

// Reconcile does one round for a fleet.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	c := &v1alpha1.ChatCluster{}
	if err := r.Get(ctx, request.NamespacedName, c); err != nil || c.DeletionTimestamp != nil {
		if err == nil || apierrors.IsNotFound(err) {
			r.Members.Forget(request.NamespacedName) // what belongs to it goes by its owner references, also where no operator is
			r.dropped.Delete(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	c = c.DeepCopy()
	c.Default()
	round := &round{Reconciler: r, cluster: c, want: convert.Spec(c), now: r.Now()}
	if err := round.prepare(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if err := round.observe(ctx); err != nil {
		return ctrl.Result{}, err
	}
	failed := errors.Join(round.act(ctx), round.dropClientCertificate(ctx))
	switch err := round.report(ctx); {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: time.Second}, failed // somebody has changed it meanwhile, which calls for another round
	case err != nil:
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: round.again()}, failed
}

// round is one look at a fleet, from what is there to what was written.
type round struct {
	*Reconciler
	cluster *v1alpha1.ChatCluster
	want    plan.Spec
	now     time.Time

	templates   templates
	credentials credentials
	problems    []status.Problem
	stopped     bool // nothing at all is done before the first of them is solved
	world       world
	plan        plan.Plan
	done        []plan.Action
	forbidden   string
}

// prepare sees to all that pods need before they are made. A problem that a person has to solve is no error: it goes to the status.
func (r *round) prepare(ctx context.Context) error {
	r.checkTemplates()
	if r.want.Paused {
		return r.renewCredentials(ctx)
	}
	if err := r.checkReferences(ctx); err != nil {
		return err
	}
	if err := r.ensureCredentials(ctx); err != nil {
		return err
	}
	return r.ensureAround(ctx)
}

// observe reads the fleet, has templates kept that are to be, and plans.
func (r *round) observe(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	switch {
	case r.stopped:
		return nil
	case r.want.Paused:
	case len(r.problems) > 0:
		if !r.goOnAsBefore() {
			return nil
		}
	default:
		if err := r.keepTemplates(ctx); err != nil {
			return err
		}
	}
	if !r.want.Paused {
		if err := r.tendStores(ctx); err != nil {
			return err
		}
	}
	r.plan = plan.Next(r.world.snapshot, r.want, r.now)
	return nil
}

// goOnAsBefore has the fleet looked after as it was before spec had a problem: what is lost comes back with the template that was kept last. It says
// whether there is any.
func (r *round) goOnAsBefore() bool {
	shard, store := r.newest(v1alpha1.RoleShard), r.newest(v1alpha1.RoleStore)
	r.want.ShardRevision, r.want.StoreRevision, r.want.UpdatePaused = shard, store, true
	return shard != "" && store != ""
}

func (r *Reconciler) do(ctx context.Context, a plan.Action, by plan.Actor) error {
	if r.Carry != nil {
		return r.Carry(ctx, a, by)
	}
	return a.Do(ctx, by)
}

// act does what is planned, in order. What the API server refuses ends the round: what comes later may rest on it.
func (r *round) act(ctx context.Context) error {
	by := &actor{r}
	for _, a := range r.plan.Actions {
		err := r.do(ctx, a, by)
		switch {
		case errors.Is(err, errUnfinished):
			return nil // a matter of milliseconds
		case apierrors.IsTooManyRequests(err):
			log.FromContext(ctx).Info("a budget holds it up for now", "action", a.String())
			continue // another pod's end comes first; the rest of the plan does not rest on this one's
		case apierrors.IsForbidden(err):
			r.forbidden = err.Error()
			return fmt.Errorf("%s: %w", a, err)
		case apierrors.IsNotFound(err), apierrors.IsConflict(err):
			log.FromContext(ctx).V(1).Info("the fleet has changed since it was looked at", "action", a.String(), "error", err.Error())
			return nil // the next look sees it
		case err != nil:
			return fmt.Errorf("%s: %w", a, err)
		}
		log.FromContext(ctx).Info(a.String(), "because", a.Because())
		r.done = append(r.done, a)
	}
	return nil
}

// report writes the status if it has changed, and then says what was done.
func (r *round) report(ctx context.Context) error {
	c := r.cluster
	was := c.Status
	is := status.Of(status.Observed{
		Cluster: c, Snapshot: r.world.snapshot, Want: r.want, Plan: r.plan, Now: r.now, Problems: r.problems, Forbidden: r.forbidden,
		FullStore: r.world.fullStore, Fullest: r.world.fullest, Outdated: r.templates.outdated, Rotation: r.credentials.rotation,
		SessionsOld: r.now.Sub(r.written.get(c.UID)) >= sessionsEvery,
	})
	if is.Sessions != was.Sessions {
		r.written.set(c.UID, r.now)
	}
	if !equality.Semantic.DeepEqual(was, is) {
		c.Status = is
		if err := r.Status().Update(ctx, c, client.FieldOwner(Manager)); err != nil {
			return client.IgnoreNotFound(fmt.Errorf("write the status: %w", err))
		}
	}
	for _, a := range r.done {
		r.Events.Eventf(c, nil, "Normal", reasonOf(a), "Reconcile", "%.900s", fmt.Sprintf("%s: %s", a, a.Because())) // a note is bounded
	}
	return nil
}

// again is when to look again if nothing calls for it before.
func (r *round) again() time.Duration {
	next := lookAgain
	if r.plan.Again > 0 {
		next = min(next, r.plan.Again)
	}
	if until := r.credentials.next; !until.IsZero() {
		next = min(next, max(time.Second, until.Sub(r.now)))
	}
	if len(r.done) > 0 {
		next = min(next, 2*time.Second)
	}
	return next
}
