package gateway

import (
	"net/http"
	"net/netip"
	"strings"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Behind a proxy, every connection comes from the proxy's address. It says for whom it speaks in X-Forwarded-For, where each proxy adds at
// the right end the address that has connected to it. So the list is to be believed from the right, as far as it was written by proxies
// that are trusted: whatever is further left may be the client's own invention. One connection of a proxy may bring requests of many
// clients, one after the other, so who it counts for is found out anew at each request.

const forwardedFor = "X-Forwarded-For"

// isProxy reports whether what an address says of its clients is believed.
func (a *admission) isProxy(addr netip.Addr) bool { return within(a.cfg.TrustedProxies, addr) }

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// clientOf is who has sent a request that came from peer: the rightmost address in X-Forwarded-For that is no trusted proxy's; the leftmost
// one if all are; and peer if he is not trusted himself, if nothing is said, or if it cannot be read.
func (a *admission) clientOf(peer netip.Addr, h http.Header) netip.Addr {
	if !a.isProxy(peer) {
		return peer
	}
	client := peer
	lines := h.Values(forwardedFor)
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var hop string
			rest, hop, more = cutLast(rest)
			if hop == "" {
				continue // an empty element of a list is none
			}
			addr, ok := parseHop(hop)
			if !ok {
				return peer
			}
			if client = addr; !a.isProxy(addr) {
				return client
			}
		}
	}
	return client
}

// cutLast takes the last element off a list.
func cutLast(list string) (rest, last string, more bool) {
	if comma := strings.LastIndexByte(list, ','); comma >= 0 {
		rest, last, more = list[:comma], list[comma+1:], true
	} else {
		last = list
	}
	return rest, strings.Trim(last, " \t"), more
}

// parseHop reads an address as proxies write it: bare, with a port, and IPv6 in brackets or not.
func parseHop(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil && len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		addr, err = netip.ParseAddr(s[1 : len(s)-1])
		if err == nil && addr.Is4() {
			return netip.Addr{}, false
		}
	}
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(s)
		addr = withPort.Addr()
	}
	return plainAddr(addr), err == nil
}

// plainAddr is the one notation of an address by which it is compared.
func plainAddr(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// brings takes note of who sends a request by the connection, and says no if too many of his may have not signed in. On a connection of a
// proxy it is as if the client of the request before had left, and this one come.
func (v *visitor) brings(r *http.Request) *chatv1.Error {
	if v == nil {
		return nil
	}
	v.mark(heard)
	if v.proxy == nil {
		return nil
	}
	a := v.admission
	addr, exempt := a.countedBy(a.clientOf(*v.proxy, r.Header))
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case v.is(gone) || addr == v.addr:
		return nil
	case !exempt && a.unknownOf[addr] >= a.cfg.MaxUnknownPerAddress:
		return tooMany(fullFor, tooManyUnknown)
	}
	if !v.unmark(known) {
		a.forgetLocked(v)
		a.failLocked(v)
	}
	v.unmark(excused)
	v.addr, v.exempt, v.came = addr, exempt, a.now()
	a.unknown++
	a.unknownOf[addr]++
	return nil
}
