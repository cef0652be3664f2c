package node

import (
	"net"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/coder/websocket"

	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// closeCode reads until a session ends.
func closeCode(t *testing.T, c *websocket.Conn) int {
	t.Helper()
	for {
		if _, err := readFrame(t.Context(), c); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

func TestWhatAnAdminRevokesOneShardDoesNotTakeAtAnother(t *testing.T) {
	leaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := leaf.Addr().String()
	leaf.Close()
	one := runMember(t, Combined, func(c *Config) { c.Bus.LeafListen = address })
	two := runMember(t, Shard, func(c *Config) { c.Bus.Name, c.Bus.Dir, c.Bus.Stores = "s2", "", []string{address} })
	here, there := one.connect(1)[0], two.connect(1)[0]

	admin := two.adminClient()
	if _, err := admin.Revoke(t.Context(), connect.NewRequest(&adminv1.RevokeRequest{})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("revoking nothing: %v", err)
	}
	if _, err := admin.Revoke(t.Context(), connect.NewRequest(&adminv1.RevokeRequest{What: &adminv1.RevokeRequest_User{User: "ann"}})); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	want := 4000 + int(chatv1.Error_CODE_UNAUTHENTICATED)
	for name, c := range map[string]*websocket.Conn{"at the other shard": here, "at the shard that was asked": there} {
		if code := closeCode(t, c); code != want {
			t.Errorf("the session %s was closed with %d", name, code)
		}
	}
	t.Log("both sessions ended after", time.Since(began))
}

func TestAStoreIsNotAskedToRevoke(t *testing.T) {
	m := runMember(t, Store, nil)
	_, err := m.adminClient().Revoke(t.Context(), connect.NewRequest(&adminv1.RevokeRequest{What: &adminv1.RevokeRequest_User{User: "ann"}}))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("got %v", err)
	}
}
