// Package config is what a member of a fleet is told at its start: one typed configuration, read from flags, environment, file
// and defaults, in this order of precedence.
//
// Every setting stands once, in the table of settings.go: its key, what it is for, its bounds, and the field of Config that it sets.
// Flags, variables, the file's keys, `--print-config` and docs/configuration.md are all made from that table. A key has one name with
// three spellings: `drain.sessionsPerSecond` in the file is `--drain-sessions-per-second` and `CHATD_DRAIN_SESSIONS_PER_SECOND`.
//
// What is wrong is a Problem that says where it stands: file:line:column, the variable or the flag. All problems are found at once.
//
// Package command calls it and makes of it what the parts want; this package knows none of them. It is not for what changes while a
// member runs.
package config

import "time"

// Roles of a member.
const (
	Store    = "store"
	Shard    = "shard"
	Combined = "combined"
)

// Config of a member. settings.go says what each field is for, and its bounds.
type Config struct {
	Role       string
	Name       string
	Region     string
	Partitions int
	Admin      string
	Probes     string
	FaultClock string
	Engine     string
	Loops      int

	Cluster struct {
		SecretFile   string
		TLSDirectory string
		Listen       string
		Peers        []string
	}
	Log struct {
		Level  string
		Format string
	}

	Listen string
	TLS    struct {
		CertificateFile string
		KeyFile         string
	}
	AllowOrigin []string

	TrustedProxies []string

	Token struct {
		Keys    string
		Issuers []string
	}
	Stores []string
	Drain  struct {
		SessionsPerSecond int
		Timeout, Linger   time.Duration
	}
	Limits struct {
		Connections       int
		FrameBytes        int
		MessageBytes      int
		AttachedLogs      int
		RequestsInFlight  int
		RequestsPerSecond float64
		RequestBurst      int
		OpenLogs          int

		UserSessions          int
		UserRequestsPerSecond float64
		UserRequestBurst      int

		UnknownConnections  int
		UnknownPerAddress   int
		HandshakesPerSecond float64
		HandshakeBurst      int
		FailuresPerSecond   float64
		FailureBurst        int
		ExemptAddresses     []string

		OwnedLogs         int
		LogPostsPerSecond float64
		LogPostBurst      int
	}
	HTTP struct {
		HeadersWithin  time.Duration
		BodyWithin     time.Duration
		RequestTimeout time.Duration
	}
	Session struct {
		KeysFile     string
		SignInWithin time.Duration
		PingWithin   time.Duration
	}
	Ring struct {
		Events     int
		Bytes      int
		TotalBytes int
	}

	Data       string
	Durability string
	Replicas   int
	FullAt     int

	RetainAge               time.Duration
	RetainBytesPerPartition int

	Leaf struct {
		Listen string
	}

	// Secret is what stands in Cluster.SecretFile. It is no setting, and never printed.
	Secret []byte
}

// Defaults is the configuration of a member that is told nothing but its host's name.
func Defaults(hostname string) Config {
	c := Config{
		Role: Combined, Name: hostname, Region: "local", Partitions: 16, Admin: "127.0.0.1:9090", FaultClock: "off", Engine: "auto",
		Listen: "127.0.0.1:8080", Durability: "Fsync", Replicas: 3, FullAt: 85,
	}
	c.Log.Level, c.Log.Format = "info", "text"
	c.Drain.SessionsPerSecond, c.Drain.Timeout = 500, 30*time.Second
	c.Limits.Connections = 18_000
	c.Limits.FrameBytes, c.Limits.MessageBytes = 128<<10, 32<<10
	c.Limits.AttachedLogs, c.Limits.RequestsInFlight = 1000, 32
	c.Limits.RequestsPerSecond, c.Limits.RequestBurst = 100, 200
	c.Limits.OpenLogs = 100_000
	c.Limits.UserSessions = 1000
	c.Limits.UserRequestsPerSecond, c.Limits.UserRequestBurst = 500, 1000
	c.Limits.UnknownPerAddress = 500
	c.Limits.HandshakesPerSecond, c.Limits.HandshakeBurst = 50, 1000
	c.Limits.FailuresPerSecond, c.Limits.FailureBurst = 5, 200
	c.Limits.OwnedLogs = 1000
	c.Limits.LogPostsPerSecond, c.Limits.LogPostBurst = 500, 1000
	c.Limits.ExemptAddresses = []string{"127.0.0.0/8", "::1/128"}
	c.HTTP.HeadersWithin, c.HTTP.BodyWithin, c.HTTP.RequestTimeout = 10*time.Second, 30*time.Second, 30*time.Second
	c.Session.SignInWithin, c.Session.PingWithin = 10*time.Second, time.Minute
	c.Ring.Events, c.Ring.Bytes, c.Ring.TotalBytes = 1024, 1<<20, 64<<20
	return c
}
