package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
)

const (
	// findWithin bounds the search for a target that is there only once an election is over.
	findWithin = 10 * time.Second
	findPoll   = 50 * time.Millisecond
)

// pick finds the processes of a target as things are now, and says what they are. A leader that is being elected is waited for.
func (b *breaker) pick(ctx context.Context, target v1alpha1.FaultTarget) (names []string, role string, err error) {
	for tries := findWithin / findPoll; ; tries-- {
		roles, err := b.Fleet.Roles(ctx)
		if err == nil {
			if names, err = b.find(target, roles); err == nil {
				return names, b.describe(names, roles), nil
			}
		}
		if tries <= 0 || !b.wait(ctx, findPoll) {
			return nil, "", err
		}
	}
}

func (b *breaker) find(target v1alpha1.FaultTarget, roles fleet.Roles) ([]string, error) {
	var candidates []string
	switch target {
	case v1alpha1.StoreLeading:
		for _, name := range b.stores {
			if roles.Led[name] > 0 {
				candidates = append(candidates, name)
			}
		}
	case v1alpha1.MetaLeader:
		if roles.MetaLeader != "" {
			candidates = []string{roles.MetaLeader}
		}
	case v1alpha1.AnyShard:
		candidates = b.shards
	case v1alpha1.AllStores:
		return b.stores, nil
	default:
		candidates = []string{string(target)}
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(name string) bool { return b.gone[name] })
	if len(candidates) == 0 {
		return nil, errors.New("no process is what it is to be done to")
	}
	// The one that was hit least; of these the one that leads most.
	return []string{slices.MinFunc(candidates, func(a, z string) int {
		return cmp.Or(cmp.Compare(b.hits[a], b.hits[z]), cmp.Compare(roles.Led[z], roles.Led[a]), cmp.Compare(a, z))
	})}, nil
}

// describe says what processes are.
func (b *breaker) describe(names []string, roles fleet.Roles) string {
	if len(names) > 1 {
		return fmt.Sprintf("%d stores", len(names))
	}
	led, isStore := roles.Led[names[0]]
	if !isStore {
		return "shard"
	}
	total := 0
	for _, n := range roles.Led {
		total += n
	}
	role := fmt.Sprintf("store, leads %d of %d partitions", led, total)
	if roles.MetaLeader == names[0] {
		role += " and the stores"
	}
	return role
}

func join(names []string) string { return strings.Join(names, ", ") }
