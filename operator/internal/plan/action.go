package plan

import (
	"context"
	"fmt"
	"time"
)

// Action is one thing to do. Each may be done twice: an operator that dies between doing and seeing it done has another one do it again.
type Action interface {
	// Do has an actor do it.
	Do(ctx context.Context, a Actor) error
	// String says what, in the words of people: "create shard eu-shard-3 at revision 5c7d".
	String() string
	// Because says why.
	Because() string
}

// Actor does what is planned. Errors are of the world; the plan is made anew from what is then observed.
type Actor interface {
	CreateShard(ctx context.Context, a CreateShard) error
	MarkShard(ctx context.Context, a MarkShard) error
	UnmarkShard(ctx context.Context, a UnmarkShard) error
	ProveRevision(ctx context.Context, a ProveRevision) error
	BeginDrain(ctx context.Context, a BeginDrain) error
	ReverseDrain(ctx context.Context, a ReverseDrain) error
	ShedSessions(ctx context.Context, a ShedSessions) error
	EvictShard(ctx context.Context, a EvictShard) error
	DeleteShard(ctx context.Context, a DeleteShard) error

	ScaleStores(ctx context.Context, a ScaleStores) error
	SetStoreTemplate(ctx context.Context, a SetStoreTemplate) error
	StepDown(ctx context.Context, a StepDown) error
	ReverseStepDown(ctx context.Context, a ReverseStepDown) error
	UpdateStore(ctx context.Context, a UpdateStore) error
	DropStoreTemplate(ctx context.Context, a DropStoreTemplate) error
	DeleteStore(ctx context.Context, a DeleteStore) error
	GrowVolume(ctx context.Context, a GrowVolume) error
}

// Why is the reason of an action.
type Why string

// Because is the reason.
func (w Why) Because() string { return string(w) }

// CreateShard makes a pod. Its name is the shard's number: two plans of the same snapshot make the same pod.
type CreateShard struct {
	Index    int
	Revision string
	Why
}

// MarkShard has a shard leave. The mark can be taken off.
type MarkShard struct {
	Shard string
	Cause Cause
	Why
}

// UnmarkShard has a shard stay after all.
type UnmarkShard struct {
	Shard string
	Why
}

// ProveRevision remembers that a revision works.
type ProveRevision struct {
	Revision string
	Why
}

// BeginDrain asks a shard to send its sessions away, or changes the pace.
type BeginDrain struct {
	Shard     string
	PerSecond int
	// Within is how much of its time is left.
	Within time.Duration
	Why
}

// ReverseDrain asks a shard to keep its sessions and take new ones.
type ReverseDrain struct {
	Shard string
	Why
}

// ShedSessions asks a shard to send sessions away until Keep are left.
type ShedSessions struct {
	Shard     string
	Keep      int
	PerSecond int
	Why
}

// EvictShard ends a pod by the Eviction API, so that budgets hold.
type EvictShard struct {
	Shard string
	Why
}

// DeleteShard ends a pod that holds no session: it never ran, or its node is lost. Force does not wait for the node to agree.
type DeleteShard struct {
	Shard string
	Force bool
	Why
}

// ScaleStores sets how many stores there are.
type ScaleStores struct {
	Replicas int
	Why
}

// SetStoreTemplate gives the set of stores a new template, without restarting any store.
type SetStoreTemplate struct {
	Revision string
	Why
}

// StepDown asks a store to give what it leads to others. Metadata says that it leads the metadata group too, which goes last.
type StepDown struct {
	Store    string
	Metadata bool
	Why
}

// ReverseStepDown asks a store to lead again what it is elected for.
type ReverseStepDown struct {
	Store string
	Why
}

// UpdateStore has one store restarted with the new template: all from Ordinal on have it then.
type UpdateStore struct {
	Store   string
	Ordinal int
	Why
}

// DropStoreTemplate gives the set of stores a new template and has it forget the one of before, restarting none: whatever store it makes next has the
// new one.
type DropStoreTemplate struct {
	Revision string
	Why
}

// DeleteStore has the set make a store's pod anew. Its volume stays.
type DeleteStore struct {
	Store string
	Why
}

// GrowVolume makes a volume larger while it is used.
type GrowVolume struct {
	Volume string
	Bytes  int64
	Why
}

// Do has an actor do it.
func (a CreateShard) Do(ctx context.Context, by Actor) error { return by.CreateShard(ctx, a) }

// Do has an actor do it.
func (a MarkShard) Do(ctx context.Context, by Actor) error { return by.MarkShard(ctx, a) }

// Do has an actor do it.
func (a UnmarkShard) Do(ctx context.Context, by Actor) error { return by.UnmarkShard(ctx, a) }

// Do has an actor do it.
func (a ProveRevision) Do(ctx context.Context, by Actor) error { return by.ProveRevision(ctx, a) }

// Do has an actor do it.
func (a BeginDrain) Do(ctx context.Context, by Actor) error { return by.BeginDrain(ctx, a) }

// Do has an actor do it.
func (a ReverseDrain) Do(ctx context.Context, by Actor) error { return by.ReverseDrain(ctx, a) }

// Do has an actor do it.
func (a ShedSessions) Do(ctx context.Context, by Actor) error { return by.ShedSessions(ctx, a) }

// Do has an actor do it.
func (a EvictShard) Do(ctx context.Context, by Actor) error { return by.EvictShard(ctx, a) }

// Do has an actor do it.
func (a DeleteShard) Do(ctx context.Context, by Actor) error { return by.DeleteShard(ctx, a) }

// Do has an actor do it.
func (a ScaleStores) Do(ctx context.Context, by Actor) error { return by.ScaleStores(ctx, a) }

// Do has an actor do it.
func (a SetStoreTemplate) Do(ctx context.Context, by Actor) error { return by.SetStoreTemplate(ctx, a) }

// Do has an actor do it.
func (a StepDown) Do(ctx context.Context, by Actor) error { return by.StepDown(ctx, a) }

// Do has an actor do it.
func (a ReverseStepDown) Do(ctx context.Context, by Actor) error { return by.ReverseStepDown(ctx, a) }

// Do has an actor do it.
func (a UpdateStore) Do(ctx context.Context, by Actor) error { return by.UpdateStore(ctx, a) }

// Do has an actor do it.
func (a DropStoreTemplate) Do(ctx context.Context, by Actor) error {
	return by.DropStoreTemplate(ctx, a)
}

// Do has an actor do it.
func (a DeleteStore) Do(ctx context.Context, by Actor) error { return by.DeleteStore(ctx, a) }

// Do has an actor do it.
func (a GrowVolume) Do(ctx context.Context, by Actor) error { return by.GrowVolume(ctx, a) }

func (a CreateShard) String() string {
	return fmt.Sprintf("create shard %d at revision %s", a.Index, a.Revision)
}
func (a MarkShard) String() string   { return fmt.Sprintf("mark %s to leave", a.Shard) }
func (a UnmarkShard) String() string { return fmt.Sprintf("take the mark off %s", a.Shard) }
func (a ProveRevision) String() string {
	return fmt.Sprintf("remember revision %s as proven", a.Revision)
}
func (a BeginDrain) String() string {
	return fmt.Sprintf("drain %s at %d sessions/s, within %s", a.Shard, a.PerSecond, a.Within.Round(time.Second))
}
func (a ReverseDrain) String() string { return fmt.Sprintf("reverse the drain of %s", a.Shard) }
func (a ShedSessions) String() string {
	return fmt.Sprintf("have %s shed down to %d sessions at %d/s", a.Shard, a.Keep, a.PerSecond)
}
func (a EvictShard) String() string { return fmt.Sprintf("evict %s", a.Shard) }
func (a DeleteShard) String() string {
	if a.Force {
		return fmt.Sprintf("delete %s without waiting for its node", a.Shard)
	}
	return fmt.Sprintf("delete %s", a.Shard)
}
func (a ScaleStores) String() string { return fmt.Sprintf("have %d stores", a.Replicas) }
func (a SetStoreTemplate) String() string {
	return fmt.Sprintf("give the stores revision %s, restarting none", a.Revision)
}
func (a StepDown) String() string {
	if a.Metadata {
		return fmt.Sprintf("have %s give up what it leads, the metadata group last", a.Store)
	}
	return fmt.Sprintf("have %s give up what it leads", a.Store)
}
func (a ReverseStepDown) String() string { return fmt.Sprintf("have %s lead again", a.Store) }
func (a UpdateStore) String() string     { return fmt.Sprintf("restart %s with the new revision", a.Store) }
func (a DropStoreTemplate) String() string {
	return fmt.Sprintf("have every store that is made from now on get revision %s, restarting none", a.Revision)
}
func (a DeleteStore) String() string {
	return fmt.Sprintf("delete %s, whose set makes it again", a.Store)
}
func (a GrowVolume) String() string {
	return fmt.Sprintf("grow volume %s to %d bytes", a.Volume, a.Bytes)
}
