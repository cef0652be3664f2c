package node

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// adminMethods are those of the admin service, and one that is not there.
var adminMethods = []string{"Status", "BeginDrain", "ReverseDrain", "Shed", "Revoke", "SetClock", "StepDown", "ReverseStepDown", "Explode"}

// seedAdmin adds bodies of every method, good and bad ones, in both encodings.
func seedAdmin(f *testing.F) {
	keep := uint32(3)
	for i, m := range []proto.Message{
		&adminv1.StatusRequest{}, &adminv1.BeginDrainRequest{Pace: &adminv1.Pace{SessionsPerSecond: 5, TimeoutMs: 1000, ComeBackAfterMs: 700, Reason: "a new version"}},
		&adminv1.ReverseDrainRequest{}, &adminv1.ShedRequest{KeepSessions: &keep}, &adminv1.RevokeRequest{What: &adminv1.RevokeRequest_User{User: "ann"}}, &adminv1.RevokeRequest{What: &adminv1.RevokeRequest_Session{Session: "s"}},
		&adminv1.StepDownRequest{Metadata: true}, &adminv1.ReverseStepDownRequest{},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), false, data)
	}
	for i, body := range []string{
		`{}`, `{"pace":{"sessionsPerSecond":5,"reason":"x"}}`, `{}`, `{"keepSessions":3}`, `{"user":"ann"}`, `{"pace":{"sessionsPerSecond":-1}}`,
		``, `{"pace":`, `null`, `[]`, `{"keepSessions":"3e9"}`, `{"user":"\ud800"}`, `{"session":"` + string(bytes.Repeat([]byte("x"), 200)) + `"}`, "\x00\x00\x00\x00\x02{}",
	} {
		f.Add(uint8(i), true, []byte(body))
	}
}

// Whatever comes to the admin port, its answers are good ones, none says that the member has a defect, and the member is as before once
// a drain that came of it is called off.
func FuzzAdmin(f *testing.F) {
	m := runMember(f, Combined, nil)
	seedAdmin(f)
	client := m.adminClient()
	f.Fuzz(func(t *testing.T, method uint8, inJSON bool, body []byte) {
		name := adminMethods[int(method)%len(adminMethods)]
		kind := "application/proto"
		if inJSON {
			kind = "application/json"
		}
		res, err := http.Post(m.admin+"/chatfleet.admin.v1.AdminService/"+name, kind, bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s is not answered: %v", name, err)
		}
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		var said struct{ Code, Message string }
		switch {
		case err != nil:
			t.Fatalf("the answer to %s: %v", name, err)
		case res.StatusCode == http.StatusOK && name == "Explode":
			t.Error("a method that is not there was answered")
		case res.StatusCode == http.StatusOK || name == "Explode":
		case json.Unmarshal(answer, &said) != nil || said.Message == "":
			t.Errorf("%s was answered %d without a word: %q", name, res.StatusCode, answer)
		case res.StatusCode >= http.StatusInternalServerError && said.Code != connect.CodeUnavailable.String():
			t.Errorf("a defect of %s: %d %s", name, res.StatusCode, answer)
		}
		if _, err := client.ReverseDrain(t.Context(), connect.NewRequest(&adminv1.ReverseDrainRequest{})); err != nil {
			t.Fatal(err)
		}
		s, err := client.Status(t.Context(), connect.NewRequest(&adminv1.StatusRequest{}))
		if err != nil || s.Msg.GetDrain().GetState() == adminv1.Drain_STATE_UNDER_WAY {
			t.Fatalf("after %s the member is %v, %v", name, s, err)
		}
	})
}
