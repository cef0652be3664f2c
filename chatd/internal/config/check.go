package config

import (
	"net"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

const (
	minSecretBytes = 16
	// maxSecretBytes: a larger file is not a secret, but somebody's mistake.
	maxSecretBytes = 4096
	// minRetainBytes is what may stand behind a partition's newest checkpoint, and stays in any case.
	minRetainBytes = 64 * mib
)

// check looks for what is wrong with values that are good by themselves.
func (l *loading) check(readFile func(string) ([]byte, error)) {
	c := l.config
	if s := l.byKey["name"]; l.origins[s.key] == byDefault {
		if err := s.value.set(c.Name); err != nil {
			l.wrong(s.key, "the host's name does not serve: %v", err)
		}
	}
	l.need("cluster.secretFile", c.Cluster.SecretFile != "", "every member of a fleet needs the secret; `head -c 32 /dev/urandom | base64 > secret` makes one")
	if c.Role != Store {
		l.checkSessions()
	}
	if c.Role == Shard {
		l.need("stores", len(c.Stores) > 0, "a shard needs the leaf addresses of the stores")
	} else {
		l.checkStore()
	}
	l.checkAddresses()
	if c.Cluster.SecretFile != "" {
		l.readSecret(readFile)
	}
}

func (l *loading) checkSessions() {
	c := l.config
	l.need("listen", c.Listen != "", "a member with sessions needs an address for clients")
	if c.TLS.CertificateFile != "" || c.TLS.KeyFile != "" {
		l.need("tls.certificateFile", c.TLS.CertificateFile != "", "tls.keyFile is the key of a certificate")
		l.need("tls.keyFile", c.TLS.KeyFile != "", "tls.certificateFile needs its key")
	}
	l.need("token.keys", c.Token.Keys != "" || len(c.Token.Issuers) > 0,
		"a member with sessions needs the keys of its users' tokens, here or in token.issuers; `chatd keygen` makes some for development")
	l.checkIssuers()
	if c.Limits.MessageBytes > c.Limits.FrameBytes {
		l.wrong("limits.messageBytes", "%s does not fit a frame of limits.frameBytes, %s", formatSize(c.Limits.MessageBytes), formatSize(c.Limits.FrameBytes))
	}
}

// checkIssuers finds what the issuers are not, one beside the other.
func (l *loading) checkIssuers() {
	var all []token.Issuer
	if keys := l.config.Token.Keys; keys != "" {
		all = append(all, token.Issuer{Keys: keys})
		if err := token.ValidateIssuers(all); err != nil {
			l.wrong("token.keys", "%v", err)
			return
		}
	}
	for _, line := range l.config.Token.Issuers {
		i, err := token.ParseIssuer(line)
		if err != nil {
			l.wrong("token.issuers", "%v", err)
			return
		}
		all = append(all, i)
	}
	if err := token.ValidateIssuers(all); err != nil && len(all) > 0 {
		l.wrong("token.issuers", "%v", err)
	}
}

func (l *loading) checkStore() {
	c := l.config
	if c.RetainAge > 0 && c.RetainAge < chatlog.RememberFor {
		l.wrong("retainAge", "%s is less than %s, for which repeats of posts must be known: want more, or 0 to keep all", formatDuration(c.RetainAge), formatDuration(chatlog.RememberFor))
	}
	if c.RetainBytesPerPartition > 0 && c.RetainBytesPerPartition < minRetainBytes {
		l.wrong("retainBytesPerPartition", "%s is less than %s, what a partition may write between two snapshots: want more, or 0 to keep all",
			formatSize(c.RetainBytesPerPartition), formatSize(minRetainBytes))
	}
	l.need("data", c.Data != "", "a member that keeps logs needs a directory for them")
	switch peers := len(c.Cluster.Peers); {
	case peers == 2 || peers == 4:
		l.wrong("cluster.peers", "%d stores: want 1, 3 or 5, since an even number bears no more losses than one less", peers)
	case max(peers, 1) < c.Replicas:
		l.wrong("replicas", "%d copies need as many stores, and cluster.peers names %d; set replicas to 1, or name all stores", c.Replicas, peers)
	case peers > 1:
		l.need("cluster.listen", c.Cluster.Listen != "", "a store among others needs an address for them")
	}
	if c.Role == Store {
		l.need("leaf.listen", c.Leaf.Listen != "", "a store needs an address for shards, which hold the sessions; role combined does both")
	}
}

// checkAddresses finds two parts of this member at one address. At port 0 each gets a port of its own.
func (l *loading) checkAddresses() {
	c := l.config
	l.need("admin", c.Admin != "", "every member needs an address for probes and metrics")
	type place struct{ key, host, port string }
	var taken []place
	for _, a := range []struct{ key, address string }{
		{"admin", c.Admin}, {"probes", c.Probes}, {"listen", c.Listen}, {"cluster.listen", c.Cluster.Listen}, {"leaf.listen", c.Leaf.Listen},
	} {
		host, port, err := net.SplitHostPort(a.address)
		if err != nil || port == "0" || !l.byKey[a.key].usedBy(c.Role) {
			continue
		}
		for _, t := range taken {
			if t.port == port && (t.host == host || everywhere(t.host) || everywhere(host)) {
				l.wrong(a.key, "%s is taken by %s: give it another port", a.address, t.key)
				break
			}
		}
		taken = append(taken, place{a.key, host, port})
	}
}

// everywhere reports whether to listen at a host means all of this machine's addresses.
func everywhere(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

func (l *loading) readSecret(readFile func(string) ([]byte, error)) {
	data, err := readFile(l.config.Cluster.SecretFile)
	if err != nil {
		l.wrong("cluster.secretFile", "%v", err)
		return
	}
	switch s := secret(data); {
	case len(s) < minSecretBytes:
		l.wrong("cluster.secretFile", "the secret in %s has %d bytes: want at least %d", l.config.Cluster.SecretFile, len(s), minSecretBytes)
	case len(s) > maxSecretBytes:
		l.wrong("cluster.secretFile", "%s has %d bytes: want at most %d; is it the right file?", l.config.Cluster.SecretFile, len(s), maxSecretBytes)
	default:
		l.config.Secret = s
	}
}

// wrong reports a problem where the setting's value comes from.
func (l *loading) wrong(key, format string, args ...any) {
	where := l.origins[key]
	if where == byDefault {
		where = ""
	}
	l.report(where, key, format, args...)
}

// need reports a setting that is missing, and how to give it.
func (l *loading) need(key string, there bool, why string) {
	if !there {
		l.wrong(key, "it is missing: %s (--%s, %s, or %s in the file)", why, flagName(key), envName(key), key)
	}
}
