package logid_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	channel = chatv1.LogKind_LOG_KIND_CHANNEL
	group   = chatv1.LogKind_LOG_KIND_GROUP
)

func TestCreateIsAFunctionOfItsArguments(t *testing.T) {
	first := logid.Create(channel, "ann", 7)
	if again := logid.Create(channel, "ann", 7); again != first {
		t.Errorf("the same creation twice: %s, then %s", first, again)
	}
	seen := map[string]string{first: "first"}
	for name, id := range map[string]string{
		"another kind":      logid.Create(group, "ann", 7),
		"another user":      logid.Create(channel, "bob", 7),
		"another id":        logid.Create(channel, "ann", 8),
		"the user's own":    logid.User("ann"),
		"another user's":    logid.User("bob"),
		"a user named so":   logid.User("create"),
		"a longer name":     logid.User("annannann"),
		"a name with bytes": logid.User("\x00\x00"),
	} {
		if before, ok := seen[id]; ok {
			t.Errorf("%s and %s share the id %s", name, before, id)
		}
		seen[id] = name
		if !logid.Valid(id) {
			t.Errorf("%s: made an invalid id %q", name, id)
		}
	}
}

func TestKindStandsInTheID(t *testing.T) {
	for id, want := range map[string]chatv1.LogKind{
		logid.Create(channel, "ann", 1): channel,
		logid.Create(group, "ann", 1):   group,
		logid.User("ann"):               chatv1.LogKind_LOG_KIND_USER,
		"zebra":                         chatv1.LogKind_LOG_KIND_UNSPECIFIED,
		"c.*":                           chatv1.LogKind_LOG_KIND_UNSPECIFIED,
	} {
		if got := logid.Kind(id); got != want {
			t.Errorf("Kind(%q) = %v, want %v", id, got, want)
		}
	}
}

func TestValidKeepsSubjectsSafe(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "c0ffee": true, strings.Repeat("z", 32): true,
		"": false, strings.Repeat("z", 33): false, "me": false, "a.b": false, "a*": false, ">": false, "A": false, "a-b": false, "ä": false, "a b": false,
	} {
		if got := logid.Valid(id); got != want {
			t.Errorf("Valid(%q) = %v, want %v", id, got, want)
		}
	}
}

func TestPartitionsFillEvenly(t *testing.T) {
	const partitions, logs = 16, 16_000
	var count [partitions]int
	for i := range logs {
		count[logid.Partition(logid.User(fmt.Sprint(i)), partitions)]++
	}
	for p, n := range count {
		if n < 800 || n > 1200 {
			t.Errorf("partition %d got %d of %d logs, far from %d", p, n, logs, logs/partitions)
		}
	}
}
