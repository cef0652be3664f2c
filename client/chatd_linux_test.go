package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// These tests run against the real chatd: a process with a store and a shard, on loopback, in a temporary directory.

// startWithin bounds a start of chatd, on a machine that is busy with other tests.
const startWithin = time.Minute

// chatdDir is where buildChatd has put the binary; TestMain removes it.
var chatdDir string

var buildChatd = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chatd-*")
	if err != nil {
		return "", err
	}
	chatdDir = dir
	binary := filepath.Join(dir, "chatd")
	out, err := exec.Command("go", "build", "-o", binary, "../chatd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if chatdDir != "" {
		os.RemoveAll(chatdDir)
	}
	os.Exit(code)
}

// server is a chatd that can be stopped and started again on the same addresses and data.
type server struct {
	t             *testing.T
	binary, dir   string
	listen, admin string
	// tokens are the flags about whose tokens are taken.
	tokens []string

	process *os.Process
	exited  chan struct{}
	log     *bytes.Buffer
}

func newServer(t *testing.T) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs chatd")
	}
	binary, err := buildChatd()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, binary: binary, dir: t.TempDir(), listen: freeAddress(t), admin: freeAddress(t)}
	s.run("keygen", "--out", filepath.Join(s.dir, "keys"))
	if err := os.WriteFile(filepath.Join(s.dir, "secret"), []byte("a secret of this test alone"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("chatd said:\n%s", s.log)
		}
	})
	s.start()
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *server) run(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(s.binary, args...).Output()
	if err != nil {
		s.t.Fatalf("chatd %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

func (s *server) token(user string) client.TokenSource {
	return client.StaticToken(s.run("token", "--key", filepath.Join(s.dir, "keys", "signing.key"), "--user", user))
}

// start runs chatd and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.log = &bytes.Buffer{}
	tokens := s.tokens
	if tokens == nil {
		tokens = []string{"--token-keys", filepath.Join(s.dir, "keys", "keys.json")}
	}
	cmd := exec.Command(s.binary, append([]string{"serve", "--role", "combined", "--name", "store-0", "--data", filepath.Join(s.dir, "data"),
		"--partitions", "4", "--replicas", "1", "--listen", s.listen, "--admin", s.admin, "--drain-timeout", "2s",
		"--cluster-secret-file", filepath.Join(s.dir, "secret")}, tokens...)...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	// It must not outlive the test, however that ends. The signal comes when the thread that started it ends, so that
	// thread waits for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(exited)
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.process, s.exited = cmd.Process, exited
	for deadline := time.Now().Add(startWithin); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get("http://" + s.admin + "/readyz")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-exited:
			s.t.Fatalf("chatd ended:\n%s", s.log)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("chatd is not ready after %v: %v", startWithin, err)
		}
	}
}

// stop ends chatd by a signal and waits for its end.
func (s *server) stop(signal os.Signal) {
	if s.process != nil {
		_ = s.process.Signal(signal)
		<-s.exited
		s.process = nil
	}
}

func (s *server) options(user, device string) client.Options {
	return client.Options{
		Endpoints: []string{"http://" + s.listen},
		Token:     s.token(user),
		Device:    device,
		Program:   "test/1",
		Backoff:   client.Backoff{Base: 50 * time.Millisecond, Most: 500 * time.Millisecond},
	}
}

// A choir of two users with two devices each sings on while the server is replaced, killed, and while a device is started
// anew. In the end all devices must have seen the same events in the same order, each once, and every post that was
// acknowledged at the position that it was told.
func TestRealFleetOverRestarts(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	alice := s.options("alice", "phone")
	phone := open(t, alice)
	created, err := phone.Create(ctx, &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_GROUP, Title: "choir"})
	if err != nil {
		t.Fatal(err)
	}
	group := created.Log
	bobs := open(t, s.options("bob", "phone"))
	if _, err := bobs.Join(ctx, group); err != nil {
		t.Fatal(err)
	}

	// The devices that watch. They learn of the group from the user's own log.
	var watchers []*followers
	watch := func(user, device string, encoding client.Encoding) client.Options {
		f := newFollowers(t)
		watchers = append(watchers, f)
		o := s.options(user, device)
		o.Follow, o.Encoding, o.QueueEvents = f.options(), encoding, 16
		o.Cursors = client.NewFileCursors(filepath.Join(s.dir, user+"-"+device))
		return o
	}
	open(t, watch("alice", "desk", client.JSON))
	open(t, watch("bob", "desk", client.Protobuf))
	restarted := watch("bob", "tablet", client.Protobuf)
	tablet, err := client.Open(ctx, restarted)
	if err != nil {
		t.Fatal(err)
	}

	const each = 150
	said := make(map[uint64]string) // position → text
	repeated := 0
	var mu sync.Mutex
	var singers sync.WaitGroup
	for user, c := range map[string]*client.Client{"alice": phone, "bob": bobs} {
		singers.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%s %d", user, i)
				posted, err := c.Post(ctx, message(group, text))
				if err != nil {
					t.Errorf("%s: %v", text, err)
					return
				}
				mu.Lock()
				if other, taken := said[posted.Pts]; taken {
					t.Errorf("%q and %q were both posted at %d", other, text, posted.Pts)
				}
				said[posted.Pts] = text
				if posted.Repeated {
					repeated++
				}
				mu.Unlock()
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
		})
	}
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		time.Sleep(300 * time.Millisecond)
		s.stop(signal)
		// The tablet sleeps through the restart, and goes on with its file of cursors.
		if err := tablet.Close(); err != nil {
			t.Fatal(err)
		}
		s.start()
		if tablet, err = client.Open(ctx, restarted); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { tablet.Close() })
	singers.Wait()
	t.Logf("%d of %d posts were answered at a repeat only", repeated, 2*each)

	const events = 2*each + 2 // and created, and bob's joining
	for i, w := range watchers {
		r := w.of(group)
		r.until(func(seen []string) bool { return len(seen) >= events })
		r.mu.Lock()
		for pts, text := range said {
			if r.seen[pts-1] != text {
				t.Errorf("device %d has %q at position %d, it was answered for %q", i, r.seen[pts-1], pts, text)
			}
		}
		if !slices.Equal(r.seen, watchers[0].of(group).seen) {
			t.Errorf("device %d has seen\n%q\nthe first one\n%q", i, r.seen, watchers[0].of(group).seen)
		}
		if r.reset > 0 {
			t.Errorf("device %d was reset %d times", i, r.reset)
		}
		r.mu.Unlock()
	}
}

func errorOf[T any](_ T, err error) error { return err }

// A log is read backwards, page by page, to its first event.
func TestRealFleetHistory(t *testing.T) {
	s := newServer(t)
	ctx := testContext(t)
	alice := open(t, s.options("alice", "phone"))
	created, err := alice.Create(ctx, &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "news", RandomId: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range numbered(29) {
		if _, err := alice.Post(ctx, message(created.Log, text)); err != nil {
			t.Fatal(err)
		}
	}
	before, left := client.Cursor{Log: created.Log}, uint64(30)
	for {
		h, err := alice.History(ctx, before, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Events) == 0 {
			break
		}
		for i := len(h.Events) - 1; i >= 0; i-- {
			if h.Events[i].Pts != left {
				t.Fatalf("before %d: event %d where %d should be", before.PTS, h.Events[i].Pts, left)
			}
			left--
		}
		before.Epoch, before.PTS = h.Epoch, h.Events[0].Pts
	}
	if left != 0 {
		t.Errorf("the first %d events are missing", left)
	}
}

// A ban ends what a device is pushed within a second, with the reason; a pardon lets it back.
func TestRealFleetBans(t *testing.T) {
	s := newServer(t)
	ctx := testContext(t)
	alice, bob := open(t, s.options("alice", "phone")), open(t, s.options("bob", "phone"))
	created, err := alice.Create(ctx, &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "news", RandomId: 7})
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t)
	l := attach(t, bob, created.Log, client.AttachOptions{Handler: r.handle, FromBeginning: true})
	ready(t, l)
	if err := alice.SetRole(ctx, created.Log, "bob", chatv1.Role_ROLE_BANNED); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Done():
	case <-ctx.Done():
		t.Fatal("a banned device is still attached")
	}
	var e *client.Error
	if !errors.As(l.Err(), &e) || e.Code != chatv1.Error_CODE_DENIED {
		t.Errorf("the log ended with %v, want DENIED", l.Err())
	}
	if _, err := alice.Post(ctx, message(created.Log, "without bob")); err != nil {
		t.Fatal(err)
	}
	if err := alice.SetRole(ctx, created.Log, "bob", chatv1.Role_ROLE_MEMBER); err != nil {
		t.Fatal(err)
	}
	again := newReader(t)
	ready(t, attach(t, bob, created.Log, client.AttachOptions{Handler: again.handle, FromBeginning: true}))
	if err := bob.SetPolicy(ctx, created.Log, &chatv1.Policy{}); !errors.As(err, &e) {
		t.Errorf("a reader sets the policy: %v", err)
	}
}

// Answers of the real server to what a client does wrong, or twice.
func TestRealFleetAnswers(t *testing.T) {
	s := newServer(t)
	ctx := testContext(t)
	alice, bob := open(t, s.options("alice", "phone")), open(t, s.options("bob", "phone"))
	request := &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "news", RandomId: 7}
	created, err := alice.Create(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	again, err := alice.Create(ctx, request)
	if err != nil || again.Log != created.Log {
		t.Fatalf("created again: %v, %v", again, err)
	}
	post := message(created.Log, "good morning")
	post.RandomId = 9
	first, err := alice.Post(ctx, post)
	if err != nil || first.Pts != created.Pts+1 || first.Repeated {
		t.Fatalf("posted: %v, %v", first, err)
	}
	post.FirstSentMs = time.Now().UnixMilli()
	second, err := alice.Post(ctx, post)
	if err != nil || second.Pts != first.Pts || !second.Repeated {
		t.Fatalf("posted again: %v, %v", second, err)
	}
	old := message(created.Log, "from last week")
	old.FirstSentMs = time.Now().Add(-7 * 24 * time.Hour).UnixMilli()
	reused := message(created.Log, "something else")
	reused.RandomId = 9
	for what, test := range map[string]struct {
		err  error
		want client.Code
	}{
		"a reader posts in a channel": {errorOf(bob.Post(ctx, message(created.Log, "me too"))), chatv1.Error_CODE_DENIED},
		"an old repeat":               {errorOf(alice.Post(ctx, old)), chatv1.Error_CODE_TOO_OLD},
		"an id for another content":   {errorOf(alice.Post(ctx, reused)), chatv1.Error_CODE_ID_REUSED},
		"a log that is not there":     {errorOf(bob.Join(ctx, "gnothere")), chatv1.Error_CODE_NOT_FOUND},
		"a post without a message":    {errorOf(alice.Post(ctx, &chatv1.PostRequest{Log: created.Log})), chatv1.Error_CODE_INVALID},
		"the difference of no log":    {errorOf(bob.Difference(ctx, client.Cursor{Log: "gnothere", Epoch: 1}, 0)), chatv1.Error_CODE_NOT_FOUND},
	} {
		var e *client.Error
		if !errors.As(test.err, &e) || e.Code != test.want || e.Message == "" {
			t.Errorf("%s: got %v, want %v", what, test.err, test.want)
		}
	}

	r := newReader(t)
	ready(t, attach(t, bob, created.Log, client.AttachOptions{Handler: r.handle, FromBeginning: true}))
	r.want("created news", "good morning")

	forged := s.options("alice", "phone")
	forged.Token = client.StaticToken("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.")
	_, err = client.Dial(ctx, forged)
	var e *client.Error
	if !errors.As(err, &e) || e.Code != chatv1.Error_CODE_UNAUTHENTICATED {
		t.Errorf("a forged token: %v", err)
	}
}

// Who types is told to the others, and who is online to who asks.
func TestRealFleetTypingAndPresence(t *testing.T) {
	s := newServer(t)
	ctx := testContext(t)
	heard := make(chan *chatv1.Typing, 16)
	o := s.options("bob", "phone")
	o.OnTyping = func(typing *chatv1.Typing) {
		select {
		case heard <- typing:
		default:
		}
	}
	alice, bob := open(t, s.options("alice", "phone")), open(t, o)
	created, err := alice.Create(ctx, &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_GROUP, Title: "choir", RandomId: 7})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Join(ctx, created.Log); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client.Client{alice, bob} {
		ready(t, attach(t, c, created.Log, client.AttachOptions{Handler: newReader(t).handle}))
	}
	online, err := bob.Presence(ctx, created.Log)
	if err != nil || online.Online != 2 || online.Shards != 1 || !slices.Equal(online.Users, []string{"alice", "bob"}) {
		t.Errorf("online: %v, %v", online, err)
	}
	for { // it may be lost
		alice.Typing(created.Log)
		select {
		case typing := <-heard:
			if typing.Log != created.Log || !slices.Equal(typing.Users, []string{"alice"}) {
				t.Errorf("bob hears %v", typing)
			}
			return
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("bob hears nothing")
		}
	}
}
