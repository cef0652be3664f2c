package gateway

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func from(ip string) netip.Addr { return netip.MustParseAddr(ip) }

func tcpAddr(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1000} }

// What addresses are counted together: a network of IPv6 is one household, and an IPv4 address is itself in either notation.
func TestAddresses(t *testing.T) {
	a := newAdmission(Config{ExemptAddresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}}.withDefaults())
	for _, test := range []struct {
		one, other   string
		same, exempt bool
	}{
		{"192.0.2.1", "192.0.2.2", false, false},
		{"192.0.2.1", "::ffff:192.0.2.1", true, false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true, false},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false, false},
		{"10.1.2.3", "10.1.2.3", true, true},
		{"fd00::1", "fd00::1", true, true},
		{"127.0.0.1", "127.0.0.1", true, false}, // not among those that are given
	} {
		one, exempt := a.countedBy(plainAddr(addressOf(tcpAddr(test.one))))
		other, _ := a.countedBy(plainAddr(addressOf(tcpAddr(test.other))))
		if (one == other) != test.same || exempt != test.exempt {
			t.Errorf("%s and %s: %v and %v, exempt: %v", test.one, test.other, one, other, exempt)
		}
	}
	if _, exempt := newAdmission(Config{}.withDefaults()).countedBy(from("127.0.0.1")); !exempt {
		t.Error("loopback is counted by address, and nobody has asked for it")
	}
}

// The counts go back to nothing when all have left, whatever they did and however often they are told to leave.
func TestCountsComeBackToNothing(t *testing.T) {
	a := newAdmission(Config{MaxConnections: 10}.withDefaults())
	var all []*visitor
	for i := range 9 {
		v, refusal := a.enter(from("192.0.2.7"))
		if v == nil {
			if i < 5 { // half of what is open may be unknown
				t.Fatalf("visitor %d is refused: %s", i, refusal)
			}
			continue
		}
		if i%2 == 0 {
			v.SignedIn()
			v.SignedIn()
		}
		all = append(all, v)
	}
	for _, v := range all {
		v.leave()
		v.leave()
		v.SignedIn()
	}
	if a.open != 0 || a.unknown != 0 || len(a.unknownOf) != 0 {
		t.Errorf("all have left, and %d are open, %d unknown, of %d addresses", a.open, a.unknown, len(a.unknownOf))
	}
}

// Who is known is not held liable for what others of his address do, and the address is free again after the time that was said.
func TestFailuresOfAnAddress(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	cfg := Config{FailureBurst: 2, FailuresPerSecond: 1, Now: func() time.Time { return now }}.withDefaults()
	a := newAdmission(cfg)
	known, _ := a.enter(from("192.0.2.7"))
	known.SignedIn()
	for range 2 {
		v, _ := a.enter(from("192.0.2.7"))
		v.leave()
	}
	stranger, _ := a.enter(from("192.0.2.7"))
	failed := stranger.mayTry()
	if failed == nil || failed.RetryAfterMs == 0 {
		t.Fatalf("after two failures of two: %v", failed)
	}
	if failed := known.mayTry(); failed != nil {
		t.Errorf("a neighbour who is known: %v", failed)
	}
	if other, _ := a.enter(from("192.0.2.8")); other.mayTry() != nil {
		t.Error("another address is refused")
	}
	now = now.Add(time.Duration(failed.RetryAfterMs) * time.Millisecond)
	if failed := stranger.mayTry(); failed != nil {
		t.Errorf("after the time to wait: %v", failed)
	}
}
