package client_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// readProtocol is docs/protocol.md, which a client can be written from; so what it shows must be so.
func readProtocol(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestExamplesOfTheProtocolPageAreMessages(t *testing.T) {
	messages := map[string]func() proto.Message{
		"client":             func() proto.Message { return new(chatv1.ClientFrame) },
		"server":             func() proto.Message { return new(chatv1.ServerFrame) },
		"CreateResponse":     func() proto.Message { return new(chatv1.CreateResponse) },
		"PostResponse":       func() proto.Message { return new(chatv1.PostResponse) },
		"DifferenceResponse": func() proto.Message { return new(chatv1.DifferenceResponse) },
	}
	shown := make(map[string]bool)
	for _, block := range regexp.MustCompile("(?s)```json (\\w+)\n(.*?)\n```").FindAllStringSubmatch(readProtocol(t), -1) {
		m := messages[block[1]]()
		if err := protojson.Unmarshal([]byte(block[2]), m); err != nil { // strict: unknown fields are errors
			t.Errorf("%v in the example\n%s", err, block[2])
			continue
		}
		if bodies := m.ProtoReflect().Descriptor().Oneofs().ByName("body"); bodies != nil {
			shown[block[1]+" "+string(m.ProtoReflect().WhichOneof(bodies).Name())] = true
		}
	}
	for side, m := range messages {
		if side != "client" && side != "server" {
			continue
		}
		fields := m().ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
		for i := range fields.Len() {
			if name := side + " " + string(fields.Get(i).Name()); !shown[name] {
				t.Errorf("the page has no example of %s", name)
			}
		}
	}
}

func TestErrorTableOfTheProtocolPageIsComplete(t *testing.T) {
	page := readProtocol(t)
	listed := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(CODE_\\w+)` \\| (\\d+) \\|").FindAllStringSubmatch(page, -1) {
		listed[row[1]] = row[2]
	}
	for number, name := range chatv1.Error_Code_name {
		if want := strconv.Itoa(int(number)); number != 0 && listed[name] != want {
			t.Errorf("%s is listed as %q, want %s", name, listed[name], want)
		}
	}
	if len(listed) != len(chatv1.Error_Code_name)-1 {
		t.Errorf("%d codes are listed, there are %d", len(listed), len(chatv1.Error_Code_name)-1)
	}
}

func TestContentsOfTheProtocolPageLeadSomewhere(t *testing.T) {
	page := readProtocol(t)
	anchors := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^###? (.*)$`).FindAllStringSubmatch(page, -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(page, -1) {
		if !anchors[link[1]] {
			t.Errorf("a link leads to #%s, which is not there", link[1])
		}
	}
}
