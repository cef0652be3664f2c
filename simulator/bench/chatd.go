package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet/reaper"
	"github.com/chatfleet/chatfleet/simulator/internal/mint"
)

// perUser is how many of the subscribers are devices of one user.
const perUser = 50

// chatd is a fleet of three stores and one shard, as it is shipped: subscribers have signed in, and posts come over HTTP.
type chatd struct {
	options
	fleet  *fleet.Fleet
	reaper *reaper.Client
	log    string
	author chatv1connect.ChatServiceClient
	next   uint64
	mu     sync.Mutex
	// secure has clients speak TLS; files are the certificate's.
	secure bool
	files  string
}

func newChatd(o options) (target, error)    { return &chatd{options: o}, nil }
func newChatdTLS(o options) (target, error) { return &chatd{options: o, secure: true}, nil }

func (c *chatd) start(ctx context.Context) (door, error) {
	var err error
	if c.reaper, err = reaper.Start([]string{self(), "reaper"}, os.Stderr); err != nil {
		return door{}, err
	}
	settings, err := c.settings()
	if err != nil {
		return door{}, err
	}
	for name, value := range settings {
		set := os.Setenv
		if value == "" {
			set = func(name, _ string) error { return os.Unsetenv(name) }
		}
		if err := set(name, value); err != nil {
			return door{}, err
		}
	}
	c.fleet, err = fleet.Start(ctx, fleet.Config{
		Spec: fleet.Spec{Stores: 3, Shards: 1, Partitions: 16, Replicas: 3, Durability: fleet.Fsync}, Chatd: c.options.chatd, Reaper: c.reaper,
	})
	if err != nil {
		return door{}, err
	}
	now := time.Now()
	m, err := mint.Load(c.fleet.SigningKeyFile, now.Add(-time.Minute), now.Add(time.Hour))
	if err != nil {
		return door{}, err
	}
	token, err := m.Mint("author")
	if err != nil {
		return door{}, err
	}
	shard := c.fleet.Shards()[0]
	scheme := "http://"
	if c.secure {
		scheme = "https://"
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 32, TLSClientConfig: trusting()}
	c.author = chatv1connect.NewChatServiceClient(&http.Client{Transport: bearer{token, transport}}, scheme+shard.Listen)
	var cursors []*chatv1.Cursor
	for range 1 + c.logs {
		created, err := c.author.Create(ctx, connect.NewRequest(&chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "bench", RandomId: c.id()}))
		if err != nil {
			return door{}, fmt.Errorf("create a channel: %w", err)
		}
		cursors = append(cursors, &chatv1.Cursor{Log: created.Msg.GetLog()})
	}
	c.log = cursors[0].GetLog()
	d := door{Address: shard.Listen, Path: "/v1/session", Protocol: "chatfleet.v1.proto", Welcome: []byte(c.log), TLS: c.secure}
	for i := range (c.sessions + perUser - 1) / perUser {
		token, err := m.Mint(fmt.Sprintf("user-%d", i))
		if err != nil {
			return door{}, err
		}
		hello, err := proto.Marshal(&chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
			Token: token, Device: "d-@@@@@@@@", Client: "bench", Cursors: cursors,
		}}})
		if err != nil {
			return door{}, err
		}
		d.Hellos = append(d.Hellos, clientFrame(hello))
	}
	return d, nil
}

// settings of the fleet's processes, which are taken from the environment.
func (c *chatd) settings() (map[string]string, error) {
	// Subscribers do not ping: the swarm is the same for all targets.
	all := map[string]string{"CHATD_TLS_CERTIFICATE_FILE": "", "CHATD_TLS_KEY_FILE": "", "CHATD_SESSION_PING_WITHIN": "1h"}
	if c.engine != "" {
		all["CHATD_ENGINE"] = c.engine
	}
	if !c.secure {
		return all, nil
	}
	var err error
	if c.files, err = os.MkdirTemp("", "bench"); err != nil {
		return nil, err
	}
	all["CHATD_TLS_CERTIFICATE_FILE"], all["CHATD_TLS_KEY_FILE"], err = certificate(c.files)
	return all, err
}

// bearer adds a token to requests.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

func (c *chatd) id() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return c.next
}

// post posts over HTTP, all at once: each is acknowledged once it is on two disks.
func (c *chatd) post(ctx context.Context, texts []string) error {
	var posts errgroup.Group
	for _, t := range texts {
		posts.Go(func() error {
			request := connect.NewRequest(&chatv1.PostRequest{Log: c.log, RandomId: c.id(), Message: &chatv1.Message{Text: t}})
			if _, err := c.author.Post(ctx, request); err != nil {
				return fmt.Errorf("post: %w", err)
			}
			return nil
		})
	}
	return posts.Wait()
}

func (c *chatd) processes() []process {
	all := []process{{"shard", c.fleet.Shards()[0].Pid()}}
	for _, s := range c.fleet.Stores() {
		all = append(all, process{s.Name, s.Pid()})
	}
	return all
}

func (c *chatd) stop() {
	if c.fleet != nil {
		_ = c.fleet.Close(5 * time.Second)
	}
	if c.reaper != nil {
		_ = c.reaper.Close()
	}
	if c.files != "" {
		_ = os.RemoveAll(c.files)
	}
}
