package bus_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
)

// statesOf are the streams of snapshots that a store has, with their subjects.
func statesOf(t *testing.T, s *bus.Store) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	streams := s.JetStream().ListStreams(t.Context(), jetstream.WithStreamListSubject("state.>"))
	for info := range streams.Info() {
		found[info.Config.Name] = info.Config.Subjects
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// Four partitions share a stream of snapshots, the last ones one of their own.
func TestPartitionsShareStreamsOfSnapshots(t *testing.T) {
	c := aloneConfig(t, t.TempDir())
	c.Partitions = 6
	s := start(t, c)
	defer s.Stop()
	got := statesOf(t, s)
	want := []string{"state.test.0.*", "state.test.1.*", "state.test.2.*", "state.test.3.*"}
	if len(got) != 2 || !slices.Equal(got["STATE-test-0"], want) || !slices.Equal(got["STATE-test-1"], []string{"state.test.4.*", "state.test.5.*"}) {
		t.Errorf("the streams of snapshots are %v", got)
	}
	if total, leads, behind := s.Groups(); total != 9 || leads != 9 || behind != nil {
		t.Errorf("%d groups, leads %d, behind %v; want 6 of events, 2 of snapshots and the revocations", total, leads, behind)
	}
}

// A region that began with a stream of snapshots for each partition goes on with these.
func TestRegionKeepsItsLayout(t *testing.T) {
	c := aloneConfig(t, t.TempDir())
	c.Partitions = 6
	if err := c.Begin(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := start(t, c)
		if got := statesOf(t, s); len(got) != 6 || !slices.Equal(got["STATE-test-5"], []string{"state.test.5.*"}) {
			t.Errorf("the streams of snapshots are %v", got)
		}
		if total, _, _ := s.Groups(); total != 13 {
			t.Errorf("%d groups, want 6 of events, 6 of snapshots and the revocations", total)
		}
		s.Stop()
	}
}

// start starts a store and waits until it is ready.
func start(t *testing.T, c bus.Config) *bus.Store {
	t.Helper()
	c.Registerer = prometheus.NewRegistry()
	s, err := bus.StartStore(c)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s.Ready)
	return s
}

// groupsOf is how many groups a region has: streams of events, of snapshots, of revocations, and the metadata.
func groupsOf(partitions int) int { return partitions + (partitions+3)/4 + 2 }
