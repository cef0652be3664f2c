package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Scheme of the URI in a certificate that says whose it is: chatfleet://<namespace>/<cluster>/<role>.
const Scheme = "chatfleet"

// Role is what the bearer of a certificate is for.
type Role string

const (
	// Store keeps logs; a combined member shows the same.
	Store Role = "store"
	// Shard holds sessions.
	Shard Role = "shard"
	// Operator may do on admin ports what there is to do.
	Operator Role = "operator"
	// Monitor may read metrics there, and how a member is.
	Monitor Role = "monitor"
)

// Identity is what a certificate says of its bearer.
type Identity struct {
	Namespace, Cluster string
	Role               Role
}

// String is the URI.
func (i Identity) String() string {
	return Scheme + "://" + i.Namespace + "/" + i.Cluster + "/" + string(i.Role)
}

// fleet is what all certificates of a fleet have in common.
func (i Identity) fleet() string { return i.Namespace + "/" + i.Cluster }

var errNoIdentity = errors.New("it has no URI name like " + Scheme + "://<namespace>/<cluster>/<role>, or more than one")

// identityOf reads who a certificate is for. Other URIs, SPIFFE's for one, may stand beside ours.
func identityOf(c *x509.Certificate) (Identity, error) {
	var found []*url.URL
	for _, u := range c.URIs {
		if u.Scheme == Scheme {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return Identity{}, errNoIdentity
	}
	u := found[0]
	cluster, role, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	i := Identity{u.Host, cluster, Role(role)}
	// What is read must be what is written: no user, port, query or escape may hide in it.
	if !ok || i.Namespace == "" || cluster == "" || strings.Contains(role, "/") || i.String() != u.String() {
		return Identity{}, errNoIdentity
	}
	switch i.Role {
	case Store, Shard, Operator, Monitor:
		return i, nil
	}
	return Identity{}, fmt.Errorf("it is for a role %q: want %s, %s, %s or %s", role, Store, Shard, Operator, Monitor)
}
