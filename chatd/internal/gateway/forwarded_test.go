package gateway

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// behindProxies trusts a load balancer's network, the proxies of one rack, and an IPv6 network.
func behindProxies(change func(*Config)) *admission {
	cfg := Config{ExemptAddresses: []netip.Prefix{}, TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8:77::/48")}}
	if change != nil {
		change(&cfg)
	}
	return newAdmission(cfg.withDefaults())
}

// Whose request it is, by what a proxy says and what a client may make of it.
func TestForwardedFor(t *testing.T) {
	a := behindProxies(nil)
	for name, test := range map[string]struct {
		peer   string
		header []string
		want   string
	}{
		"nobody says anything":                     {"10.0.0.1", nil, "10.0.0.1"},
		"a proxy's client":                         {"10.0.0.1", []string{"198.51.100.9"}, "198.51.100.9"},
		"a stranger who says that he is another":   {"198.51.100.1", []string{"203.0.113.5"}, "198.51.100.1"},
		"next to a proxy's address":                {"192.0.2.8", []string{"203.0.113.5"}, "192.0.2.8"},
		"a client who says so through a proxy":     {"10.0.0.1", []string{"203.0.113.5, 198.51.100.9"}, "198.51.100.9"},
		"who says that he is a proxy":              {"10.0.0.1", []string{"203.0.113.5, 10.0.0.9, 198.51.100.9"}, "198.51.100.9"},
		"through two proxies":                      {"10.0.0.1", []string{"203.0.113.5, 198.51.100.9, 192.0.2.7"}, "198.51.100.9"},
		"through three, each with a header":        {"10.0.0.1", []string{"203.0.113.5", "198.51.100.9", "192.0.2.7,10.4.5.6"}, "198.51.100.9"},
		"a proxy's own request":                    {"10.0.0.1", []string{"10.0.0.5, 10.0.0.4"}, "10.0.0.5"},
		"without spaces":                           {"10.0.0.1", []string{"1.2.3.4,198.51.100.9"}, "198.51.100.9"},
		"with many":                                {"10.0.0.1", []string{" \t198.51.100.9 \t,\t10.0.0.3 "}, "198.51.100.9"},
		"empty elements":                           {"10.0.0.1", []string{", 198.51.100.9,, 10.0.0.3,", "", " , "}, "198.51.100.9"},
		"nothing but commas":                       {"10.0.0.1", []string{",,,"}, "10.0.0.1"},
		"a port":                                   {"10.0.0.1", []string{"198.51.100.9:4711"}, "198.51.100.9"},
		"IPv6":                                     {"10.0.0.1", []string{"2001:db8:1::9"}, "2001:db8:1::9"},
		"IPv6 in brackets":                         {"10.0.0.1", []string{"[2001:db8:1::9]"}, "2001:db8:1::9"},
		"IPv6 with a port":                         {"10.0.0.1", []string{"[2001:db8:1::9]:4711"}, "2001:db8:1::9"},
		"IPv6 with a zone":                         {"10.0.0.1", []string{"fe80::9%eth0"}, "fe80::9"},
		"IPv4 in IPv6":                             {"10.0.0.1", []string{"::ffff:198.51.100.9"}, "198.51.100.9"},
		"a proxy's IPv4 in IPv6":                   {"10.0.0.1", []string{"198.51.100.9, ::ffff:10.0.0.4"}, "198.51.100.9"},
		"a proxy of IPv6":                          {"2001:db8:77::1", []string{"198.51.100.9, 2001:db8:77:1::2"}, "198.51.100.9"},
		"a proxy that is not of IPv6":              {"2001:db8:78::1", []string{"198.51.100.9"}, "2001:db8:78::1"},
		"what is no address":                       {"10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		"no address beyond a proxy":                {"10.0.0.1", []string{"198.51.100.9, _hidden, 10.0.0.3"}, "10.0.0.1"},
		"no address beyond the client":             {"10.0.0.1", []string{"<script>, 198.51.100.9"}, "198.51.100.9"},
		"a name":                                   {"10.0.0.1", []string{"client.example.com"}, "10.0.0.1"},
		"IPv4 in brackets":                         {"10.0.0.1", []string{"[198.51.100.9]"}, "10.0.0.1"},
		"a bracket":                                {"10.0.0.1", []string{"["}, "10.0.0.1"},
		"brackets around nothing":                  {"10.0.0.1", []string{"[]"}, "10.0.0.1"},
		"a port that is none":                      {"10.0.0.1", []string{"198.51.100.9:x"}, "10.0.0.1"},
		"numbers that are none of an address":      {"10.0.0.1", []string{"300.1.1.1"}, "10.0.0.1"},
		"another list":                             {"10.0.0.1", []string{"198.51.100.9; 203.0.113.5"}, "10.0.0.1"},
		"very much of it, and the client at last":  {"10.0.0.1", []string{strings.Repeat("x,", 8000) + "198.51.100.9"}, "198.51.100.9"},
		"very many proxies, and the client before": {"10.0.0.1", []string{"198.51.100.9" + strings.Repeat(",10.0.0.2", 1500)}, "198.51.100.9"},
	} {
		h := http.Header{}
		for _, line := range test.header {
			h.Add("x-forwarded-for", line)
		}
		if got := a.clientOf(netip.MustParseAddr(test.peer), h); got != netip.MustParseAddr(test.want) {
			t.Errorf("%s: %s with %.60q is %v, want %s", name, test.peer, test.header, got, test.want)
		}
	}
}

// Whatever a client writes, what the proxy has written after it counts; and who is no proxy is who he is.
func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"", "203.0.113.5", "10.0.0.2, [2001:db8::1]:80", "unknown", "[", "[]", ",,", "::ffff:10.0.0.1", "fe80::1%eth0", "1.2.3.4:99999"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	a := behindProxies(nil)
	proxy, stranger, client := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.9")
	f.Fuzz(func(t *testing.T, said string, ownLine bool) {
		lines := []string{said + "," + client.String()}
		if ownLine {
			lines = []string{said, client.String()}
		}
		if got := a.clientOf(proxy, http.Header{forwardedFor: lines}); got != client {
			t.Errorf("%q makes a client %v", said, got)
		}
		alone := http.Header{forwardedFor: {said}}
		if got := a.clientOf(stranger, alone); got != stranger {
			t.Errorf("%q makes a stranger %v", said, got)
		}
		if got := a.clientOf(proxy, alone); !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Errorf("%q makes the client of a proxy %v", said, got)
		}
	})
}

func (v *visitor) bringsFrom(client string) *chatv1.Error {
	return v.brings(&http.Request{Header: http.Header{forwardedFor: {client}}})
}

// What clients of a proxy do is counted by client, also when their requests come on one connection, and never by the proxy.
func TestClientsOfAProxyAreCountedByThemselves(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a := behindProxies(func(c *Config) { c.FailureBurst, c.MaxUnknownPerAddress, c.Now = 2, 3, func() time.Time { return now } })
	enter := func() *visitor {
		v, refusal := a.enter(from("10.0.0.1"))
		if v == nil {
			t.Fatalf("a proxy is refused: %s", refusal)
		}
		return v
	}
	for range 10 {
		enter().leave() // a load balancer that looks whether somebody listens
	}
	shared := enter()
	for _, client := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.1", "198.51.100.2"} {
		if failed := shared.bringsFrom(client); failed != nil {
			t.Fatalf("%s is refused: %v", client, failed)
		}
		if client == "198.51.100.2" {
			shared.SignedIn()
		}
	}
	if failed := shared.mayTry(); failed != nil {
		t.Errorf("who always signs in: %v", failed)
	}
	_ = shared.bringsFrom("198.51.100.1") // twice he did not, and he is here for the third time
	if failed := shared.mayTry(); failed == nil {
		t.Error("who came to nothing twice may try again")
	}
	if failed := shared.mayShake(); failed == nil {
		t.Error("and may begin a session")
	}
	if failed := shared.bringsFrom("198.51.100.3"); failed != nil || shared.mayTry() != nil {
		t.Error("another pays for it")
	}

	var all []*visitor
	for i := range 4 {
		v := enter()
		if failed := v.bringsFrom("198.51.100.4"); (failed != nil) != (i == 3) {
			t.Errorf("connection %d of three: %v", i, failed)
		}
		all = append(all, v)
	}
	_ = all[0].bringsFrom("") // and a client whom the proxy does not name
	for _, v := range append(all, shared) {
		v.leave()
		v.leave()
		if failed := v.bringsFrom("198.51.100.5"); failed != nil {
			t.Errorf("who is gone: %v", failed)
		}
	}
	if a.open != 0 || a.unknown != 0 || len(a.unknownOf) != 0 {
		t.Errorf("all have left, and %d are open, %d unknown, of %d addresses", a.open, a.unknown, len(a.unknownOf))
	}
}
