package examples

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The commands that README.md and docs/protocol.md show are run as they stand there, but for addresses and what a server makes up.

func needsCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		lacks(t, "curl")
	}
}

func readDoc(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// bash runs a script in a process group of its own, which does not outlive the test.
func bash(ctx context.Context, t *testing.T, dir, script string, env ...string) (stdout string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v of\n%s\nIt said:\n%s%s", err, script, out, errors.String())
	}
	return string(out)
}

// answered is a curl command of the page with the answer that it shows, if any.
var answered = regexp.MustCompile("(?s)```\n(curl [^`]*)\n```\n\n(?:```json \\w+\n(.*?)\n```)?")

func TestCommandsOfTheProtocolPage(t *testing.T) {
	needsCurl(t)
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), hangBound)
	defer cancel()
	// What the page writes for what the server made up.
	madeUp := strings.NewReplacer("localhost:8080", s.listen)
	compared := 0
	for _, block := range answered.FindAllStringSubmatch(readDoc(t, pagePath), -1) {
		script := madeUp.Replace(block[1])
		if strings.Contains(script, "Upgrade: websocket") {
			expectSession(ctx, t, script)
			continue
		}
		out := bash(ctx, t, s.dir, script, "TOKEN="+s.token("alice"))
		var got, want map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v in the answer %q to\n%s", err, out, script)
		}
		if err := json.Unmarshal([]byte(madeUp.Replace(block[2])), &want); err != nil {
			t.Fatalf("the page shows no answer to\n%s\nbut %v", script, err)
		}
		if log, ok := want["log"].(string); ok && compared == 0 { // the creation: the log's id and epoch are news
			madeUp = strings.NewReplacer("localhost:8080", s.listen, log, got["log"].(string),
				fmt.Sprintf(`"epoch": %.0f`, want["epoch"]), fmt.Sprintf(`"epoch": %.0f`, got["epoch"]))
			want["log"], want["epoch"] = got["log"], got["epoch"]
		}
		forgetTimes(got)
		forgetTimes(want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the answer to\n%s\nis\n%v, the page says\n%v", script, got, want)
		}
		compared++
	}
	if compared < 3 {
		t.Errorf("%d commands with answers were found on the page", compared)
	}
}

// forgetTimes removes the times of a difference's events.
func forgetTimes(answer map[string]any) {
	events, _ := answer["events"].([]any)
	for _, e := range events {
		delete(e.(map[string]any), "timeMs")
	}
}

// expectSession runs a command that begins a session, and ends it.
func expectSession(ctx context.Context, t *testing.T, script string) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+script)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var headers strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan() && lines.Text() != ""; {
		fmt.Fprintln(&headers, lines.Text())
	}
	cancel()
	_ = cmd.Wait() // it was killed
	for _, want := range []string{"HTTP/1.1 101 ", "Sec-Websocket-Protocol: chatfleet.v1.json"} {
		if !strings.Contains(strings.ToLower(headers.String()), strings.ToLower(want)) {
			t.Errorf("the answer to\n%s\nis\n%s, want %q in it", script, headers.String(), want)
		}
	}
}

func TestErrorOverHTTPIsTheOneThatThePageShows(t *testing.T) {
	needsCurl(t)
	shown := regexp.MustCompile("(?s)```\n(\\{\"code\": .*?)\n```").FindStringSubmatch(readDoc(t, pagePath))
	if shown == nil {
		t.Fatal("the page shows no error over HTTP")
	}
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), hangBound)
	defer cancel()
	alice, bob := &user{s, s.token("alice")}, &user{s, s.token("bob")}
	var group struct{ Log string }
	must(t, alice.call(ctx, "Create", map[string]any{"kind": "LOG_KIND_GROUP", "title": "choir", "randomId": randomID()}, &group))
	out := bash(ctx, t, s.dir, `curl -sS -w '\n%{http_code}' "http://$LISTEN/chatfleet.chat.v1.ChatService/Post" -H "Authorization: Bearer $TOKEN" \
		-H 'Content-Type: application/json' -d '{"log": "'$LOG'", "randomId": "7", "message": {"text": "me too"}}'`,
		"LISTEN="+s.listen, "TOKEN="+bob.token, "LOG="+group.Log)
	answer, status, _ := strings.Cut(out, "\n")
	if status != "403" {
		t.Errorf("status %s, want 403", status)
	}
	got, want := readHTTPError(t, answer), readHTTPError(t, shown[1])
	want = strings.ReplaceAll(want, regexp.MustCompile(`g[a-z2-7]{24}`).FindString(shown[1]), group.Log)
	if got != want {
		t.Errorf("the error of who is not a member is\n%s\nthe page shows\n%s", answer, shown[1])
	}
}

// readHTTPError is all that an error over HTTP says, in one string; the detail is decoded from base64, but not further.
func readHTTPError(t *testing.T, text string) string {
	t.Helper()
	var e struct {
		Code, Message string
		Details       []struct{ Type, Value string }
	}
	must(t, json.Unmarshal([]byte(text), &e))
	for i, d := range e.Details {
		value, err := base64.RawStdEncoding.DecodeString(d.Value)
		must(t, err)
		e.Details[i].Value = string(value)
	}
	return fmt.Sprintf("%q", e)
}

func TestCommandsOfTheReadme(t *testing.T) {
	needsCurl(t)
	block := regexp.MustCompile("(?s)## A fleet of your own\n\n```\n(.*?)\n```").FindStringSubmatch(readDoc(t, "../../README.md"))
	if block == nil {
		t.Fatal("the README has no fleet of your own")
	}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	must(t, os.Symlink(binary(t, "chatd"), filepath.Join(dir, "bin", "chatd")))
	ctx, cancel := context.WithTimeout(t.Context(), hangBound)
	defer cancel()
	listen, admin := freeAddress(t), freeAddress(t)
	// On other ports than the usual ones, which may be taken; with no hurry between the lines; and with an end.
	script := "trap 'kill $(jobs -p) && wait' EXIT\n" + block[1]
	for from, to := range map[string]string{
		"make build\n":   "",
		" &\n":           " --listen " + listen + " --admin " + admin + " 2>log &\nuntil curl -sf -o /dev/null " + admin + "/readyz; do kill -0 $! && sleep 0.05; done\n",
		"localhost:8080": listen,
	} {
		if strings.Count(script, from) != 1 {
			t.Fatalf("%q is to be there once in\n%s", from, script)
		}
		script = strings.Replace(script, from, to, 1)
	}
	out := bash(ctx, t, dir, script)
	_, answer, _ := strings.Cut(out, "{") // after what keygen says
	var created struct{ Log, Pts string }
	if err := json.Unmarshal([]byte("{"+answer), &created); err != nil || created.Log == "" || created.Pts != "1" {
		t.Errorf("the commands print %q, %v; want the answer of a creation at the end", out, err)
	}
}
