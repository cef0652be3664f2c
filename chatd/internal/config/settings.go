package config

import (
	"strings"
	"time"
	"unicode"
)

// setting is one line of the table.
type setting struct {
	// key is its name in the file; dots separate sections.
	key string
	// roles that use it; none means all. The others ignore it, so that one file may serve all members.
	roles []string
	// doc says what it is for. Its first sentence is the flag's help.
	doc string
	// defaultDoc stands for a default that differs from host to host.
	defaultDoc string
	value      value
}

var (
	withSessions = []string{Shard, Combined}
	withLogs     = []string{Store, Combined}
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// settings is the table of all settings, each bound to its field of c. Settings of one section stand together.
func settings(c *Config) []setting {
	return []setting{
		{key: "role", value: choice(&c.Role, Store, Shard, Combined),
			doc: "What this member is for. A store keeps logs, a shard holds sessions; combined does both in one process, for development and small fleets."},
		{key: "name", value: pattern(&c.Name, nameRule, "lower-case letters, digits and hyphens, at most 63, not a hyphen at its ends"), defaultDoc: "the host's name, in lower case",
			doc: "Its name among all members of the region. A store's is as lasting as its data directory, which is bound to it."},
		{key: "region", value: pattern(&c.Region, regionRule, "lower-case letters and digits, at most 32"),
			doc: "The region it belongs to. A data directory is bound to it."},
		{key: "partitions", value: number(&c.Partitions, 1, 1024),
			doc: "Number of partitions of the region. Set once, for ever, and the same at every member."},
		{key: "admin", value: listen(&c.Admin),
			doc: "Address of probes and metrics. It is for operators: clients must not reach it."},
		{key: "probes", value: listen(&c.Probes),
			doc: "Address where /healthz and /readyz are to be had in plain, and nothing else. For what cannot show a certificate, as a kubelet, where cluster.tlsDirectory has the admin port ask for one. None: they are at the admin port alone."},
		{key: "faultClock", value: choice(&c.FaultClock, "off", "on"),
			doc: "Whether the admin port may set the clock that this member goes by. For simulations alone, never in production: whoever sets the clock makes tokens good that have expired, and good ones void."},

		{key: "cluster.secretFile", value: path(&c.Cluster.SecretFile),
			doc: "File with the secret that all members share, at least 16 bytes. White space around it does not count."},
		{key: "cluster.tlsDirectory", value: path(&c.Cluster.TLSDirectory),
			doc: "Directory with this member's tls.crt, its tls.key, and ca.crt: whom it trusts. With it, members speak TLS to each other and check each other's certificates and roles, and so does the admin port. New files are taken up within 10 s. All members or none: docs/operations.md has the names that belong in certificates. Without, members speak in plain: only for a network that nobody else is on."},
		{key: "cluster.listen", roles: withLogs, value: listen(&c.Cluster.Listen),
			doc: "Address for the other stores. Needed where there are other stores."},
		{key: "cluster.peers", roles: withLogs, value: list(&c.Cluster.Peers, 5, dialAddress),
			doc: "All stores' cluster addresses, its own with them: 1, 3 or 5. None for a single store."},

		{key: "log.level", value: choice(&c.Log.Level, "debug", "info", "warn", "error"),
			doc: "The least level that is logged."},
		{key: "log.format", value: choice(&c.Log.Format, "text", "json"),
			doc: "How log lines are written, to the standard error."},

		{key: "listen", roles: withSessions, value: listen(&c.Listen),
			doc: "Address for clients."},
		{key: "engine", roles: withSessions, value: choice(&c.Engine, "auto", "goroutines", "epoll"),
			doc: "What holds clients' connections: a goroutine for each, or one event loop a core with epoll, which costs less and is Linux's alone; auto is the best that the system has."},
		{key: "loops", roles: withSessions, value: number(&c.Loops, 0, 1024),
			doc: "Event loops of the engine epoll. 0 is one for each core. Where subscribers are on the same machine, fewer cost less: see docs/performance.md."},
		{key: "tls.certificateFile", roles: withSessions, value: path(&c.TLS.CertificateFile),
			doc: "Certificate that clients are shown, PEM, with its intermediates behind it. With it, clients speak TLS, and without plain HTTP. A new one is taken up within 10 s."},
		{key: "tls.keyFile", roles: withSessions, value: path(&c.TLS.KeyFile),
			doc: "Its key, PEM."},
		{key: "allowOrigin", roles: withSessions, value: list(&c.AllowOrigin, 1000, origin),
			doc: "Web origins whose pages may connect, besides the same host's. As a browser sends them: https://app.example.com."},
		{key: "trustedProxies", roles: withSessions, value: list(&c.TrustedProxies, 1000, proxies),
			doc: "Addresses of proxies, as 10.0.0.0/8, whose X-Forwarded-For is believed. It must add who has connected to it at the right end. Clients are counted by the rightmost address that is none of these."},
		{key: "token.keys", roles: withSessions, value: path(&c.Token.Keys),
			doc: "File or URL of the public keys of users' tokens, a JWK set, whatever issuer the tokens name. `chatd keygen` makes one for development."},
		{key: "token.issuers", roles: withSessions, value: list(&c.Token.Issuers, 16, issuer),
			doc: "Issuers whose tokens are accepted, each as `iss=https://id.example.com keys=https://id.example.com/jwks.json aud=chatfleet alg=ES256+RS256 leeway=30s`. Only keys must be there: the file or URL of a JWK set, which is read again as it changes."},
		{key: "stores", roles: []string{Shard}, value: list(&c.Stores, 16, dialAddress),
			doc: "The stores' leaf addresses. One that answers is enough at any time; give all, so that a shard can move over."},

		{key: "drain.sessionsPerSecond", roles: withSessions, value: number(&c.Drain.SessionsPerSecond, 1, 1_000_000),
			doc: "Pace at which sessions are sent away on SIGTERM. The other shards take them at this pace."},
		{key: "drain.timeout", roles: withSessions, value: duration(&c.Drain.Timeout, time.Millisecond, time.Hour),
			doc: "When what is left of them is cut off."},
		{key: "drain.linger", roles: withSessions, value: duration(&c.Drain.Linger, 0, time.Hour),
			doc: "How long a member stays after it has begun to leave, also when its sessions have gone sooner, and answers whoever still comes that it is leaving. As long as whatever sends clients to it (a balancer, the nodes' proxies of Kubernetes) may take to see that."},

		{key: "limits.connections", roles: withSessions, value: number(&c.Limits.Connections, 1, 1_000_000),
			doc: "Connections of clients at once. Each is an open file: keep it below the process's limit, `ulimit -n`."},
		{key: "limits.frameBytes", roles: withSessions, value: size(&c.Limits.FrameBytes, 4*kib, 4*mib),
			doc: "Largest WebSocket message, and HTTP body, from a client."},
		{key: "limits.messageBytes", roles: withSessions, value: size(&c.Limits.MessageBytes, 256, mib),
			doc: "Largest text and data of a post together. It must fit a frame."},
		{key: "limits.attachedLogs", roles: withSessions, value: number(&c.Limits.AttachedLogs, 1, 100_000),
			doc: "Logs that one session may have attached."},
		{key: "limits.requestsInFlight", roles: withSessions, value: number(&c.Limits.RequestsInFlight, 1, 10_000),
			doc: "Requests of one session that may wait for their answers."},
		{key: "limits.requestsPerSecond", roles: withSessions, value: decimal(&c.Limits.RequestsPerSecond),
			doc: "Requests that one session may make, a second, in the long run."},
		{key: "limits.requestBurst", roles: withSessions, value: number(&c.Limits.RequestBurst, 1, 1_000_000),
			doc: "Requests that one session may make at once, after a pause."},
		{key: "limits.userSessions", roles: withSessions, value: number(&c.Limits.UserSessions, 1, 1_000_000),
			doc: "Sessions that one user may have on a shard."},
		{key: "limits.userRequestsPerSecond", roles: withSessions, value: decimal(&c.Limits.UserRequestsPerSecond),
			doc: "Requests that one user may make on a shard, over all sessions and over HTTP, a second, in the long run."},
		{key: "limits.userRequestBurst", roles: withSessions, value: number(&c.Limits.UserRequestBurst, 1, 1_000_000),
			doc: "The same at once, after a pause."},
		{key: "limits.openLogs", roles: withSessions, value: number(&c.Limits.OpenLogs, 1, 10_000_000),
			doc: "Logs that a shard follows at once."},
		{key: "limits.unknownConnections", roles: withSessions, value: number(&c.Limits.UnknownConnections, 0, 1_000_000),
			doc: "Connections that have neither signed in nor brought a good token yet. 0 is half of limits.connections. While even the quickest sign-in takes longer than half a second, fewer are let in."},
		{key: "limits.unknownPerAddress", roles: withSessions, value: number(&c.Limits.UnknownPerAddress, 1, 1_000_000),
			doc: "The same of one address."},
		{key: "limits.handshakesPerSecond", roles: withSessions, value: decimal(&c.Limits.HandshakesPerSecond),
			doc: "Sessions that one address may begin, a second, in the long run."},
		{key: "limits.handshakeBurst", roles: withSessions, value: number(&c.Limits.HandshakeBurst, 1, 1_000_000),
			doc: "Sessions that one address may begin at once, after a pause."},
		{key: "limits.failuresPerSecond", roles: withSessions, value: decimal(&c.Limits.FailuresPerSecond),
			doc: "Connections of one address that may come to nothing, and tokens of it that may be refused, a second, in the long run. An address that has used them up may not try to sign in."},
		{key: "limits.failureBurst", roles: withSessions, value: number(&c.Limits.FailureBurst, 1, 1_000_000),
			doc: "The same at once, after a pause."},
		{key: "limits.exemptAddresses", roles: withSessions, value: list(&c.Limits.ExemptAddresses, 1000, prefix),
			doc: "Addresses that are not counted one by one, as 10.0.0.0/8. Such as those of a load balancer that hides who comes."},

		{key: "limits.ownedLogs", roles: withLogs, value: number(&c.Limits.OwnedLogs, 1, 1_000_000),
			doc: "Channels and groups that one user may make; one that he has left counts. Creations that are under way at the same moment may exceed it, by as many as they are."},
		{key: "limits.logPostsPerSecond", roles: withLogs, value: decimal(&c.Limits.LogPostsPerSecond),
			doc: "Posts to one log, of all who post there, a second, in the long run. Exact, since one store decides on all of them."},
		{key: "limits.logPostBurst", roles: withLogs, value: number(&c.Limits.LogPostBurst, 1, 1_000_000),
			doc: "The same at once, after a pause."},

		{key: "http.headersWithin", roles: withSessions, value: duration(&c.HTTP.HeadersWithin, 100*time.Millisecond, 5*time.Minute),
			doc: "Time that the headers of a request may take."},
		{key: "http.bodyWithin", roles: withSessions, value: duration(&c.HTTP.BodyWithin, 100*time.Millisecond, 5*time.Minute),
			doc: "Time that the whole of a request may take to arrive."},
		{key: "http.requestTimeout", roles: withSessions, value: duration(&c.HTTP.RequestTimeout, 100*time.Millisecond, 5*time.Minute),
			doc: "Time after which a request over HTTP is given up."},

		{key: "session.signInWithin", roles: withSessions, value: duration(&c.Session.SignInWithin, 100*time.Millisecond, 5*time.Minute),
			doc: "Time that a new connection has for its sign-in."},
		{key: "session.keysFile", roles: withSessions, value: path(&c.Session.KeysFile),
			doc: "File of the keys that resume tokens and invitations are made by, one a line, each of at least 16 bytes: the first makes, all check. It is read again every 10 s, so that a key is replaced without a restart: the new one goes last; first, when all shards have it; and the old one goes ten minutes after that. Without a file the cluster's secret is the key."},
		{key: "session.pingWithin", roles: withSessions, value: duration(&c.Session.PingWithin, time.Second, time.Hour),
			doc: "Who has nothing to say pings within this time; a quarter more is granted. Clients are told."},

		{key: "ring.events", roles: withSessions, value: number(&c.Ring.Events, 16, 1_000_000),
			doc: "Recent events of a log that a shard holds, for readers that lag and devices that come back."},
		{key: "ring.bytes", roles: withSessions, value: size(&c.Ring.Bytes, 64*kib, 1<<30),
			doc: "Bytes that these may take, for each log. The newest event is held whatever its size."},
		{key: "ring.totalBytes", roles: withSessions, value: size(&c.Ring.TotalBytes, mib, 1<<40),
			doc: "Memory that the recent events of all logs may take together. The oldest go first, of whichever log. With the garbage collector's share it costs up to twice as much."},

		{key: "data", roles: withLogs, value: path(&c.Data),
			doc: "Directory of the streams. It belongs to one store of one cluster, which is checked at each start."},
		{key: "durability", roles: withLogs, value: choice(&c.Durability, "Fsync", "Replicated"),
			doc: "When a post is acknowledged: Fsync, on a quorum's disks; or Replicated, in a quorum's memory. Under Replicated a power cut of a quorum of stores loses up to 10 s of acknowledged posts."},
		{key: "replicas", roles: withLogs, value: numberOf(&c.Replicas, 1, 3, 5),
			doc: "Copies of each stream. At most one a store."},
		{key: "fullAt", roles: withLogs, value: number(&c.FullAt, 10, 95),
			doc: "Percent of the volume of data that may be in use. Once one store has more, all of the region refuse what makes logs grow (CODE_FULL), until it is 5 below. What is above is for leaving, bans and snapshots: let it be a gigabyte at least."},
		{key: "retainAge", roles: withLogs, value: duration(&c.RetainAge, 0, 10*365*24*time.Hour),
			doc: "Age from which on events go, as 2160h. 0 keeps them whatever their age; else 24h at least, for as long as repeats of posts are known. The same at all stores. What goes, and what stays, is in docs/operations.md."},
		{key: "retainBytesPerPartition", roles: withLogs, value: size(&c.RetainBytesPerPartition, 0, 1<<50),
			doc: "Bytes of events that a partition keeps, in each of its copies; what is more goes, the oldest first. 0 keeps them all; else 64MiB at least. The same at all stores."},
		{key: "leaf.listen", roles: withLogs, value: listen(&c.Leaf.Listen),
			doc: "Address for shards. None for a combined member that no shard joins."},
	}
}

// flagName is the key's spelling as a flag: dots and capitals become hyphens.
func flagName(key string) string {
	var b strings.Builder
	for _, r := range key {
		switch {
		case r == '.':
			b.WriteByte('-')
		case unicode.IsUpper(r):
			b.WriteByte('-')
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

const envPrefix = "CHATD_"

// envName is its spelling as a variable.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName(key), "-", "_"))
}

// usedBy reports whether a role uses the setting.
func (s setting) usedBy(role string) bool {
	for _, r := range s.roles {
		if r == role {
			return true
		}
	}
	return len(s.roles) == 0
}

// help is the first sentence of the doc, as flags show it, with the roles.
func (s setting) help() string {
	text, _, _ := strings.Cut(s.doc, ". ")
	text = strings.TrimSuffix(text, ".")
	text = strings.ToLower(text[:1]) + text[1:]
	text = strings.ReplaceAll(text, "`", "'") // pflag takes what is in back quotes for the value's name
	if bounds := s.value.bounds(); bounds != "" {
		text += "; " + bounds
	}
	if len(s.roles) > 0 {
		text += " (" + strings.Join(s.roles, ", ") + ")"
	}
	return text
}
