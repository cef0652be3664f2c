package pki

import (
	"crypto/x509"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func names(role string) Names {
	return Names{Identity: &url.URL{Scheme: "chatfleet", Host: "ns", Path: "/fleet/" + role}, DNS: []string{"*." + role + ".ns.svc"}}
}

// verify is what a member does with another's certificate, by the bundle that it has.
func verify(t interface{ Fatal(...any) }, bundle []byte, leaf *x509.Certificate, now time.Time) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		t.Fatal("the bundle holds no certificate")
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

// TestMembersAlwaysTrustEachOther lives through years of renewals and of wishes for new credentials, with an operator that is away at times. Each member has what was
// written up to Spread ago, no older. Whatever one shows, every other accepts it.
func TestMembersAlwaysTrustEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		var a Authority
		type given struct {
			at     time.Time
			bundle []byte
			leaf   Leaf
		}
		var history []given
		var leaf Leaf
		for range 60 {
			wanted := rapid.IntRange(0, 20).Draw(t, "wanted") == 0 && len(a) == 1
			var leaves []*x509.Certificate
			if leaf.Certificate != nil {
				leaves = append(leaves, leaf.Certificate)
			}
			due, changed, next, err := a.Due(now, wanted, leaves)
			if err != nil {
				t.Fatal(err)
			}
			a = due
			fresh, _ := a.Fresh(leaf.Certificate, names("store"), now)
			if !fresh {
				if leaf, err = a.Issue(names("store"), now); err != nil {
					t.Fatal(err)
				}
			}
			if changed || !fresh {
				history = append(history, given{now, a.Bundle(), leaf})
			}
			// Who has what: any two of what was newest at some moment within Spread.
			for i, one := range history {
				for j, two := range history {
					old := func(k int) bool { return k+1 < len(history) && now.Sub(history[k+1].at) >= Spread }
					if old(i) || old(j) {
						continue
					}
					if err := verify(t, one.bundle, two.leaf.Certificate, now); err != nil {
						t.Fatalf("%v: given %v and %v: %v", now, one.at, two.at, err)
					}
				}
			}
			if fresh && next.Before(now) {
				t.Fatalf("looks again at %v, in the past", next)
			}
			if _, until := a.Fresh(leaf.Certificate, names("store"), now); until.Before(next) {
				next = until
			}
			if rapid.Bool().Draw(t, "early") {
				next = now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second)
			}
			away := time.Duration(rapid.IntRange(0, 72).Draw(t, "hours away")) * time.Hour
			now = next.Add(away)
		}
		if len(a) > 3 {
			t.Errorf("%d roots are kept", len(a))
		}
	})
}

func TestARootIsTrustedBeforeItSigns(t *testing.T) {
	a, _, _, err := Authority(nil).Due(start, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.Issue(names("shard"), start)
	if err != nil {
		t.Fatal(err)
	}
	at := func(later time.Duration, wanted bool) (roots int, ofNewest bool) {
		now := start.Add(later)
		var err error
		if a, _, _, err = a.Due(now, wanted, []*x509.Certificate{leaf.Certificate}); err != nil {
			t.Fatal(err)
		}
		if fresh, _ := a.Fresh(leaf.Certificate, names("shard"), now); !fresh {
			if leaf, err = a.Issue(names("shard"), now); err != nil {
				t.Fatal(err)
			}
		}
		return len(a), leaf.Certificate.CheckSignatureFrom(a[len(a)-1].Certificate) == nil
	}
	for _, step := range []struct {
		later    time.Duration
		wanted   bool
		roots    int
		ofNewest bool
	}{
		{time.Hour, true, 2, false}, // a new one is trusted,
		{time.Hour + Spread - time.Second, false, 2, false},
		{time.Hour + Spread, false, 2, true}, // then it signs,
		{time.Hour + 2*Spread - time.Second, false, 2, true},
		{time.Hour + 2*Spread, false, 1, true}, // then the old one goes.
		{AuthorityLife*2/3 - time.Hour, false, 1, true},
	} {
		if roots, ofNewest := at(step.later, step.wanted); roots != step.roots || ofNewest != step.ofNewest {
			t.Errorf("after %v: %d roots, leaf of the newest: %v; want %d, %v", step.later, roots, ofNewest, step.roots, step.ofNewest)
		}
	}
	if roots, _ := at(AuthorityLife*2/3+2*time.Hour, false); roots != 2 {
		t.Errorf("%d roots two thirds through the life of one, want a second", roots)
	}
}

func TestALeafIsRenewed(t *testing.T) {
	a, _, _, _ := Authority(nil).Due(start, false, nil)
	leaf, err := a.Issue(names("store"), start)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		names Names
		at    time.Duration
		want  bool
	}{
		{"new", names("store"), 0, true},
		{"in its middle", names("store"), LeafLife / 2, true},
		{"two thirds through", names("store"), LeafLife*2/3 + time.Minute, false},
		{"of another role", names("shard"), 0, false},
		{"with other names", Names{names("store").Identity, []string{"other"}}, 0, false},
	} {
		if fresh, _ := a.Fresh(leaf.Certificate, tt.names, start.Add(tt.at)); fresh != tt.want {
			t.Errorf("%s: fresh %v", tt.name, fresh)
		}
	}
	other, _, _, _ := Authority(nil).Due(start, false, nil)
	if fresh, _ := other.Fresh(leaf.Certificate, names("store"), start); fresh {
		t.Error("a leaf of another authority is fresh")
	}
	if err := verify(t, other.Bundle(), leaf.Certificate, start); err == nil {
		t.Error("another authority accepts it")
	}
}

func TestSecrets(t *testing.T) {
	a, _, _, _ := Authority(nil).Due(start, false, nil)
	a, _, _, _ = a.Due(start.Add(time.Hour), true, nil)
	data, err := a.Data()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(data)
	if err != nil || len(again) != 2 || string(again.Bundle()) != string(a.Bundle()) || !again[1].Since.Equal(a[1].Since) {
		t.Fatalf("%d roots, %v", len(again), err)
	}
	if a, err := Read(nil); err != nil || a != nil {
		t.Errorf("of nothing: %v, %v", a, err)
	}
	for entry, tt := range map[string]struct{ text, says string }{
		"root-0.crt":   {"nonsense", "entry root-0.crt: it holds no certificate"},
		"root-1.key":   {string(data["root-0.key"]), "entry root-1.key: it is not the key of the certificate"},
		"root-0.key":   {"", "entry root-0.key: it holds no PEM block"},
		"root-1.since": {"today", "entry root-1.since"},
		"extra":        {"x", "7 entries and 2 whole roots: restore the Secret"},
	} {
		spoilt := maps.Clone(data)
		spoilt[entry] = []byte(tt.text)
		if _, err := Read(spoilt); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", entry, err, tt.says)
		}
	}
}
