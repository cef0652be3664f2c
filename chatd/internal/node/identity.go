package node

import (
	"context"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// identity is what a member with sessions knows of its users' tokens, and keeps new.
type identity struct {
	tokens *token.Verifier
	seals  *token.Seals
	resume *token.Resumer
	// revoked is what the stores say; the shard's link brings it.
	revoked *token.Revoked
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// issuers are all whose tokens are accepted. TokenKeys stand for one without a name.
func (c Config) issuers() []token.Issuer {
	if c.TokenKeys == "" {
		return c.Issuers
	}
	return append([]token.Issuer{{Keys: c.TokenKeys}}, c.Issuers...)
}

func startIdentity(cfg Config, now func() time.Time) (*identity, error) {
	ctx, cancel := context.WithCancel(context.Background())
	tokens, err := token.Open(ctx, cfg.issuers(), token.Options{Logger: cfg.Logger, Now: now})
	if err != nil {
		cancel()
		return nil, err
	}
	seals := token.FixedSeal(cfg.Bus.Secret)
	if cfg.SessionKeys != "" {
		if seals, err = token.OpenSeals(cfg.SessionKeys, cfg.Logger); err != nil {
			cancel()
			return nil, err
		}
	}
	resume, err := token.NewResumer(seals, cfg.Bus.Region, now)
	if err != nil {
		cancel()
		return nil, err
	}
	i := &identity{tokens: tokens, seals: seals, resume: resume, revoked: token.NewRevoked(), cancel: cancel}
	i.done.Go(func() { tokens.Run(ctx) })
	i.done.Go(func() { seals.Run(ctx) })
	return i, nil
}

func (i *identity) stop() {
	i.cancel()
	i.done.Wait()
}
