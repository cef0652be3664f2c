package shard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/trace"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Config of a shard. The zero value of a field means its default; Partitions has none.
type Config struct {
	// Name of this shard, and its Region. Clients are told both at sign-in.
	Name   string
	Region string
	// Partitions of the region, as the stores have it.
	Partitions int

	// MaxFrameBytes is the largest WebSocket message, and HTTP body, from a client. Default 128 KiB.
	MaxFrameBytes int
	// MaxMessageBytes is the largest text and data of a post together. Default 32 KiB.
	MaxMessageBytes int
	// MaxAttachedLogs of one session. Default 1,000.
	MaxAttachedLogs int
	// MaxInFlight is how many requests of one session may wait for their answers. Default 32.
	MaxInFlight int
	// RequestsPerSecond and RequestBurst are a session's token bucket. Defaults 100 and 200.
	RequestsPerSecond float64
	RequestBurst      int
	// UserRequestsPerSecond and UserRequestBurst are the same for a user, over all his sessions on this shard and over HTTP. Defaults
	// 500 and 1,000.
	UserRequestsPerSecond float64
	UserRequestBurst      int
	// MaxUserSessions is how many sessions one user may have on this shard. Default 1,000.
	MaxUserSessions int

	// PingWithin is told to clients: who has nothing to say pings within this time. Default 60 s; a quarter more is granted.
	PingWithin time.Duration
	// SignInWithin is how long a new connection may take to send its sign_in. Default 10 s.
	SignInWithin time.Duration
	// RequestTimeout is when a request is answered with UNAVAILABLE. Default 10 s.
	RequestTimeout time.Duration
	// AttachTimeout is the same for a log to be attached, whose owner does not answer. Default 5 s.
	AttachTimeout time.Duration

	// RingEvents and RingBytes bound the recent events of a log that are held. Defaults 1,024 and 1 MiB.
	RingEvents int
	RingBytes  int
	// Loops is how many event loops the engine has, if it has loops. Default one for each core.
	Loops int
	// AllRingsBytes bounds those of all logs together; the oldest go first. Default 64 MiB.
	AllRingsBytes int
	// SeedEvents is how many of the newest events are fetched when a log is opened, so that devices that come back are
	// served from the ring. Default 256.
	SeedEvents int
	// HealEvents is the longest gap that is fetched; sessions are told "too long" of a longer one. Default half of RingEvents.
	HealEvents int
	// HoldEvents is how many live events of a log are held while what comes before them is fetched. Default 1,024.
	HoldEvents int
	// CloseLogAfter is how long a log without sessions stays open. Default 30 s.
	CloseLogAfter time.Duration
	// MaxLogs is the most logs open at once. Default 100,000.
	MaxLogs int
	// SilenceAfter is how long the owner of a partition may be silent, digests come every half second, before it is asked
	// where its logs are. Default 2 s.
	SilenceAfter time.Duration
	// FetchesPerPartition is how many fetches for feeds, and as many for differences, are under way at once to one owner.
	// Default 8.
	FetchesPerPartition int

	// DifferenceEvents is the most events in the answer to a difference. Default 500.
	DifferenceEvents int
	// DifferenceBytes bounds the same for events from the ring. Default 512 KiB.
	DifferenceBytes int
	// TooLongAfter is how many events behind a cursor may be. Default 5,000.
	TooLongAfter uint64
	// TooLongEvents is how many of the newest events go with TOO_LONG. Default 100.
	TooLongEvents int

	// Resume makes and checks resume tokens. Default none.
	Resume *token.Resumer
	// InvitationKeys make the secrets of invitations: see the function of that name. Default a key of this shard alone, by which only this
	// shard knows a repeated request.
	InvitationKeys func() [][]byte
	// Revoked is what tokens are void. Default none are. With it, nobody is let in before it is complete.
	Revoked *token.Revoked
	// Revoke has all shards know of a revocation. Default nobody is told.
	Revoke func(context.Context, token.Revocation) error

	// Soft is the line to the other shards. Default none: nobody hears who types, and only this shard's sessions are online.
	Soft Soft

	// Trace follows posts; nil follows none.
	Trace *trace.Tracer
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger. Default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	def(&c.MaxFrameBytes, 128<<10)
	def(&c.MaxMessageBytes, 32<<10)
	def(&c.MaxAttachedLogs, 1000)
	def(&c.MaxInFlight, 32)
	def(&c.RequestsPerSecond, 100)
	def(&c.RequestBurst, 200)
	def(&c.UserRequestsPerSecond, 500)
	def(&c.UserRequestBurst, 1000)
	def(&c.MaxUserSessions, 1000)
	def(&c.PingWithin, 60*time.Second)
	def(&c.SignInWithin, 10*time.Second)
	def(&c.RequestTimeout, 10*time.Second)
	def(&c.AttachTimeout, 5*time.Second)
	def(&c.RingEvents, 1024)
	def(&c.RingBytes, 1<<20)
	def(&c.AllRingsBytes, 64<<20)
	def(&c.SeedEvents, min(256, c.RingEvents))
	def(&c.HealEvents, max(1, c.RingEvents/2))
	def(&c.HoldEvents, 1024)
	def(&c.CloseLogAfter, 30*time.Second)
	def(&c.MaxLogs, 100_000)
	def(&c.SilenceAfter, 2*time.Second)
	def(&c.FetchesPerPartition, 8)
	def(&c.DifferenceEvents, 500)
	def(&c.DifferenceBytes, 512<<10)
	def(&c.TooLongAfter, 5000)
	def(&c.TooLongEvents, 100)
	if c.InvitationKeys == nil {
		own := make([]byte, sha256.Size)
		_, _ = rand.Read(own) // never fails
		c.InvitationKeys = func() [][]byte { return [][]byte{own} }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	switch {
	case c.Partitions < 1:
		return errors.New("the number of partitions must be at least 1, and the same as at the stores")
	case c.MaxMessageBytes > c.MaxFrameBytes:
		return errors.New("a message of MaxMessageBytes does not fit MaxFrameBytes")
	}
	return nil
}

// Engine is the configuration of the engine that goes with it.
func (c Config) Engine() engine.Config {
	c = c.withDefaults()
	return engine.Config{
		MaxMessageBytes: c.MaxFrameBytes, FirstMessageWithin: c.SignInWithin, IdleAfter: c.PingWithin + c.PingWithin/4,
		RingFrames: c.RingEvents, RingBytes: c.RingBytes, AllRingsBytes: c.AllRingsBytes, Loops: c.Loops,
	}
}

// FrameBytes is MaxFrameBytes with its default, for the gateway.
func (c Config) FrameBytes() int { return c.withDefaults().MaxFrameBytes }

func (c Config) limits() *chatv1.Limits {
	return &chatv1.Limits{
		MaxFrameBytes: uint32(c.MaxFrameBytes), MaxMessageBytes: uint32(c.MaxMessageBytes),
		MaxAttachedLogs: uint32(c.MaxAttachedLogs), PingWithinMs: uint32(c.PingWithin.Milliseconds()),
	}
}
