package gateway_test

import (
	"fmt"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// refusal is one row of the table of refusals: what a stranger does, as bytes on a TCP connection, and what must come back. Each row is
// driven against a real gateway, shard, owner and store, with a well-behaved session beside it that must get every event of its
// log once and in order. docs/refusals.md is made from the table.
type refusal struct {
	// name says what the stranger does. It stands in the document.
	name string
	// at says how far the stranger's connection is when send's bytes go out.
	at stage
	// door is what is asked; nil is one with the usual limits.
	door *doorKind
	// crowd comes before the stranger, from the same address.
	crowd crowd
	// send makes the bytes.
	send func(*door) []byte
	// then, if there is one, comes once something was answered: what happens meanwhile, and what is sent after it.
	then func(*door) []byte
	// hangUp: the stranger ends his side of the connection after the bytes.
	hangUp bool
	slowly pace
	want   want
}

// pace says what comes a byte at a time, four a second, again and again; the rest comes at once.
type pace int

const (
	atOnce  pace = iota
	allOfIt      // but for a dozen bytes
	theBody
)

// stage is how far a connection has come.
type stage int

const (
	connected    stage = iota // TCP, and no more
	openedJSON                // WebSocket, no sign-in
	openedBinary              // the same, on the sub-protocol of protobuf
	inJSON                    // signed in as mallory, nothing attached
	inBinary
)

// crowd is n other connections.
type crowd struct {
	n  int
	at stage
	// send, if there is one, is what each of them sends; it waits for the answer then, and for the end of the connection if leaves.
	send   func(*door) []byte
	leaves bool
}

// want is what must come back. Zero fields are not looked at, but for close: 0 means that the session goes on, and answers a ping.
type want struct {
	status int // of HTTP
	close  engine.CloseCode
	code   chatv1.Error_Code
	field  string
	// says are words of the message, or, where there is no error, of the close frame's reason.
	says string
	// retry: the answer says when to come back.
	retry bool
	// fine: nothing is refused. Such rows are here because what is sent looks like an attack, or is one that has no effect.
	fine bool
	// cut: the connection ends without a word, since there is nobody who would understand it.
	cut bool
	// never is the text of a message that must not be pushed.
	never string
}

// section is a part of the table.
type section struct {
	title, about string
	rows         []refusal
}

func table() []section {
	return []section{
		handshakes(), frames(), sessions(), requests(), rights(), namesAndInvitations(), overHTTP(), tokens(), resumption(), slow(), limits(), quotas(),
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	undisturbed := w.open(&doorKind{name: "undisturbed"}).bystander
	seen := map[string]bool{}
	for _, s := range table() {
		for _, r := range s.rows {
			name := s.title + "/" + r.name
			if seen[name] {
				t.Errorf("two rows are called %q", name)
			}
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				kind := r.door
				if kind == nil {
					kind = usual
				}
				d := w.doorFor(t, kind)
				got := d.drive(t, r)
				if err := r.want.check(got); err != nil {
					t.Errorf("%v\ncame back: %v", err, got)
				}
				speaker := d
				if d.beside != nil {
					speaker = d.beside
				}
				d.bystander.check(t, speaker.say(), undisturbed)
			})
		}
	}
	if n := len(seen); n < 60 {
		t.Errorf("%d rows, at least 60 were promised", n)
	}
}

// check compares what came back with what must.
func (w want) check(got answer) error {
	if w.fine {
		switch {
		case got.err != nil || got.code != 0 || got.close != 0:
			return fmt.Errorf("refused (%v), want that nothing is", got.err)
		case w.status != 0 && got.status != w.status:
			return fmt.Errorf("status %d, want %d", got.status, w.status)
		}
		return nil
	}
	if w.cut {
		if got.err == nil || got.status != 0 || got.close != 0 {
			return fmt.Errorf("answered, want that the connection is cut")
		}
		return nil
	}
	switch {
	case got.err != nil:
		return fmt.Errorf("no answer: %w", got.err)
	case got.status != w.status:
		return fmt.Errorf("status %d, want %d", got.status, w.status)
	case got.close != w.close:
		return fmt.Errorf("close code %d, want %d", got.close, w.close)
	case got.code != w.code:
		return fmt.Errorf("%v, want %v", got.code, w.code)
	case w.field != "" && got.field != w.field:
		return fmt.Errorf("field %q, want %q", got.field, w.field)
	case !contains(got.message, w.says):
		return fmt.Errorf("the message %q does not say %q", got.message, w.says)
	case w.retry != got.retry:
		return fmt.Errorf("says when to come back: %v, want %v", got.retry, w.retry)
	}
	for _, f := range got.ok {
		if text := f.GetEvent().GetMessage().GetText(); w.never != "" && text == w.never {
			return fmt.Errorf("%q was pushed, and must not be", text)
		}
	}
	return nil
}
