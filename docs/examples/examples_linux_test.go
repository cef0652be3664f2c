package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// Each example follows a group and posts to it while chatd is killed and started again; is killed itself, and goes on where its
// cursor file says, over a line that loses, doubles and delays pushes. What it has printed in the end is the log: every event once
// and in order.

func TestExampleInGo(t *testing.T) {
	runExample(t, binary(t, "example-go"))
}

func TestExampleInJavaScript(t *testing.T) {
	runExample(t, findNode(t), "js/main.mjs")
}

// findNode is the path of a Node.js that can run the example.
func findNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		lacks(t, "Node.js for docs/examples/js; `.ci/node` installs it")
	}
	// As the example does it: Node's own WebSocket, or the package.
	check := exec.Command(node, "--input-type=module", "--eval", `globalThis.WebSocket ?? await import("ws")`)
	check.Dir = "js"
	if out, err := check.CombinedOutput(); err != nil {
		lacks(t, fmt.Sprintf("the npm package ws, which Node.js before 22 needs for docs/examples/js; `.ci/node` installs it. %v: %s", err, out))
	}
	return node
}

func runExample(t *testing.T, command ...string) {
	const lines = 150 // that the example posts
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), hangBound)
	defer cancel()
	alice, bob := &user{s, s.token("alice")}, &user{s, s.token("bob")}
	var group struct{ Log string }
	must(t, alice.call(ctx, "Create", map[string]any{"kind": "LOG_KIND_GROUP", "title": "choir", "randomId": randomID()}, &group))
	must(t, bob.call(ctx, "Join", map[string]any{"log": group.Log}, new(any)))
	at := 2 // positions: created, and bob's joining

	e := &example{t: t, command: append(command, group.Log), token: alice.token, cursorFile: filepath.Join(t.TempDir(), "cursor.json")}
	e.start("http://" + s.listen)
	var posting sync.WaitGroup
	posting.Go(func() {
		for i := range lines {
			if _, err := fmt.Fprintf(e.stdin, "alice %d\n", i); err != nil {
				t.Errorf("the example takes no more lines: %v", err)
				return
			}
		}
	})
	bob.say(ctx, t, group.Log, 0, 75)
	posting.Go(func() { bob.say(ctx, t, group.Log, 75, 150) })
	s.killAndRestart()
	posting.Wait()
	at += lines + 150
	e.untilAt(at)

	// Posted while the example is away; and then while it is there, but badly connected.
	e.process.kill()
	s.killAndRestart()
	bob.say(ctx, t, group.Log, 150, 200)
	line, address := newBadLine(t, "http://"+s.listen)
	e.start(address)
	at += 50
	e.untilAt(at)
	newcomer := &example{t: t, command: e.command, token: alice.token, cursorFile: filepath.Join(t.TempDir(), "cursor.json")}
	newcomer.start(address)
	bobs := 200
	// Until the newcomer is there, so that it gets events right behind the answer to its sign-in; and not so that the last push is
	// lost, which nothing would tell of.
	for ; bobs < 350 || !newcomer.hasCursor() || isLost(at) || isLate(at); at++ {
		bob.say(ctx, t, group.Log, bobs, bobs+1)
		bobs++
		if t.Failed() {
			return
		}
	}
	e.untilAt(at)
	e.process.kill()
	newcomer.untilAt(at)
	newcomer.process.kill()
	if line.lost.Load() == 0 || line.doubled.Load() == 0 || line.late.Load() == 0 {
		t.Errorf("of the pushes %d were lost, %d doubled, %d late: want some of each", line.lost.Load(), line.doubled.Load(), line.late.Load())
	}

	want := alice.read(ctx, t, group.Log)
	e.check(want)
	newcomer.check(want)
	said := make(map[string]int)
	for _, event := range want {
		if m, ok := event.content["message"].(map[string]any); ok {
			said[m["text"].(string)]++
		}
	}
	for i := range bobs {
		if n := said[fmt.Sprint("bob ", i)]; n != 1 {
			t.Errorf("bob's message %d is in the log %d times", i, n)
		}
		if n := said[fmt.Sprint("alice ", i)]; i < lines && n != 1 {
			t.Errorf("line %d of the example's input is in the log %d times", i, n)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// say posts "bob from", …, "bob to-1".
func (u *user) say(ctx context.Context, t *testing.T, log string, from, to int) {
	for i := from; i < to; i++ {
		post := map[string]any{"log": log, "randomId": randomID(), "message": map[string]any{"text": fmt.Sprint("bob ", i)}}
		if err := u.call(ctx, "Post", post, new(any)); err != nil {
			t.Errorf("bob's message %d: %v", i, err)
			return
		}
	}
}

// logEvent is an event of the log, as the difference has it and as the examples print it.
type logEvent struct {
	pts, sender string
	content     map[string]any
}

// read reads the whole log.
func (u *user) read(ctx context.Context, t *testing.T, log string) (events []logEvent) {
	t.Helper()
	var head struct {
		Cursor struct{ Epoch uint32 }
	}
	must(t, u.call(ctx, "Difference", map[string]any{"cursor": map[string]any{"log": log}}, &head))
	at := any(map[string]any{"log": log, "epoch": head.Cursor.Epoch})
	for {
		var d struct {
			Kind   string
			Events []map[string]any
			Cursor map[string]any
		}
		must(t, u.call(ctx, "Difference", map[string]any{"cursor": at}, &d))
		for _, e := range d.Events {
			event := logEvent{e["pts"].(string), e["sender"].(string), e}
			for _, name := range []string{"log", "epoch", "pts", "timeMs", "sender"} {
				delete(e, name)
			}
			events = append(events, event)
		}
		if at = d.Cursor; d.Kind != "KIND_SLICE" {
			return events
		}
	}
}

// example is an example program, started as often as the test likes, with one cursor file and one output.
type example struct {
	t                 *testing.T
	command           []string
	token, cursorFile string

	process     *process
	stdin       io.Writer
	out, stderr bytes.Buffer
}

func (e *example) start(address string) {
	e.t.Helper()
	cmd := exec.Command(e.command[0], append(e.command[1:len(e.command):len(e.command)], e.cursorFile, address)...)
	cmd.Env = append(os.Environ(), "TOKEN="+e.token)
	cmd.Stdout, cmd.Stderr = &e.out, &e.stderr
	stdin, err := cmd.StdinPipe()
	must(e.t, err)
	e.stdin, e.process = stdin, start(e.t, cmd)
	e.t.Cleanup(e.process.kill)
}

// untilAt waits until the example has kept the cursor at pts, which it does after it has printed the event.
func (e *example) untilAt(pts int) {
	e.t.Helper()
	eventually(e.t, fmt.Sprintf("the example is at %d", pts), func() error {
		select {
		case <-e.process.exited:
			e.t.Fatalf("the example has ended; it said:\n%s", e.stderr.Bytes())
		default:
		}
		data, err := os.ReadFile(e.cursorFile)
		if err != nil {
			return err
		}
		var at struct{ Pts string }
		if err := json.Unmarshal(data, &at); err != nil {
			return err
		}
		if at.Pts != fmt.Sprint(pts) {
			return errors.New("it is at " + at.Pts)
		}
		return nil
	})
}

func (e *example) hasCursor() bool {
	_, err := os.Stat(e.cursorFile)
	return err == nil
}

// check compares what the example has printed with the log.
func (e *example) check(want []logEvent) {
	e.t.Helper()
	lines := strings.Split(strings.TrimSuffix(e.out.String(), "\n"), "\n")
	for i := range max(len(lines), len(want)) {
		if i >= len(lines) || i >= len(want) {
			e.t.Fatalf("%d lines are printed for %d events", len(lines), len(want))
		}
		var got logEvent
		parts := strings.SplitN(lines[i], " ", 3)
		if len(parts) != 3 || json.Unmarshal([]byte(parts[2]), &got.content) != nil {
			e.t.Fatalf("line %d is no event: %q", i+1, lines[i])
		}
		got.pts, got.sender = parts[0], parts[1]
		if !reflect.DeepEqual(got, want[i]) {
			e.t.Fatalf("line %d is\n%v, the event\n%v", i+1, got, want[i])
		}
	}
	e.t.Logf("%d events, each once and in order; it said:\n%s", len(want), e.stderr.Bytes())
}
