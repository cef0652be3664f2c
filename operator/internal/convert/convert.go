// Package convert says a ChatCluster in the planner's words. It is pure and decides nothing; package controller and `operator plan` call it.
package convert

import (
	"time"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

// Spec is what a ChatCluster, with its defaults filled in, wants of its fleet.
func Spec(c *v1alpha1.ChatCluster) plan.Spec {
	s := c.Spec
	return plan.Spec{
		Paused: s.Paused, Hibernate: s.Hibernate,
		Shards: int(*s.Shards.Replicas), ShardRevision: render.ShardInputs(c).Revision(), StoreRevision: render.StoreInputs(c).Revision(),
		UpdatePaused: s.Update.Paused, Surge: int(*s.Update.Surge), AtOnce: int(s.Update.MaxConcurrentShards), ZoneOrder: s.Update.ZoneOrder,
		Drain:  plan.Drain{SessionsPerSecond: int(s.Shards.Drain.SessionsPerSecond), Timeout: seconds(s.Shards.Drain.TimeoutSeconds)},
		Stores: int(s.Store.Replicas), StoreSoak: seconds(*s.Update.StoreSoakSeconds), VolumeBytes: s.Store.Storage.Size.Value(),
	}
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
