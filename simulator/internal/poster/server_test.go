package poster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// fleet is a chat service over HTTP that keeps its logs in memory, with as many endpoints as a test wants. All of them share
// the logs; each can be told to misbehave.
type fleet struct {
	chatv1connect.UnimplementedChatServiceHandler

	mu      sync.Mutex
	logs    map[string][]stored
	servers []*httptest.Server
}

type stored struct {
	id   uint64
	data []byte
}

// plant decides what happens to a request before it is handled (or after, where it says so). nil: nothing.
type plant func(w http.ResponseWriter, r *http.Request, serve http.Handler)

func newFleet(t *testing.T, plants ...plant) *fleet {
	t.Helper()
	f := &fleet{logs: map[string][]stored{}}
	_, service := chatv1connect.NewChatServiceHandler(f)
	for _, p := range plants {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p == nil {
				service.ServeHTTP(w, r)
				return
			}
			p(w, r, service)
		}))
		t.Cleanup(server.Close)
		f.servers = append(f.servers, server)
	}
	return f
}

func (f *fleet) endpoints() []string {
	var urls []string
	for _, s := range f.servers {
		urls = append(urls, s.URL)
	}
	return urls
}

// Post appends, or finds the post that has the id already.
func (f *fleet) Post(_ context.Context, r *connect.Request[chatv1.PostRequest]) (*connect.Response[chatv1.PostResponse], error) {
	if r.Header().Get("Authorization") != "Bearer token" {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("no token"))
	}
	if !strings.HasPrefix(r.Msg.GetLog(), "c") {
		return nil, chatError(connect.CodeNotFound, &chatv1.Error{Code: chatv1.Error_CODE_NOT_FOUND, Message: "no such log"})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.logs[r.Msg.GetLog()]
	for i, s := range log {
		if s.id == r.Msg.GetRandomId() {
			return connect.NewResponse(&chatv1.PostResponse{Log: r.Msg.GetLog(), Epoch: 7, Pts: uint64(i + 1), Repeated: true}), nil
		}
	}
	f.logs[r.Msg.GetLog()] = append(log, stored{r.Msg.GetRandomId(), r.Msg.GetMessage().GetData()})
	return connect.NewResponse(&chatv1.PostResponse{Log: r.Msg.GetLog(), Epoch: 7, Pts: uint64(len(log) + 1)}), nil
}

func chatError(code connect.Code, own *chatv1.Error) error {
	err := connect.NewError(code, errors.New(own.GetMessage()))
	detail, detailErr := connect.NewErrorDetail(own)
	if detailErr != nil {
		return detailErr
	}
	err.AddDetail(detail)
	return err
}

// posts returns, for each log, the numbers of the posts in it, in order.
func (f *fleet) posts(run uint64) map[string][]uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string][]uint32{}
	for id, log := range f.logs {
		for _, s := range log {
			out[id] = append(out[id], stamp.PostOf(s.data, run))
		}
	}
	return out
}

// refusing answers every request with the error.
func refusing(code connect.Code, own *chatv1.Error) plant {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if err := connect.NewErrorWriter().Write(w, r, chatError(code, own)); err != nil {
			panic(err)
		}
	}
}

// cutting closes the connection without a word; with after, only once the request was carried out.
func cutting(after bool) plant {
	return func(_ http.ResponseWriter, r *http.Request, serve http.Handler) {
		if after {
			serve.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
}

// hanging never answers, as a stopped process does. It reads the request, since the server sees that the client has gone only
// after that.
func hanging(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// every lets one in n requests through p, beginning with the first.
func every(n int, p plant) plant {
	var mu sync.Mutex
	count := 0
	return func(w http.ResponseWriter, r *http.Request, serve http.Handler) {
		mu.Lock()
		mine := count%n == 0
		count++
		mu.Unlock()
		if mine {
			p(w, r, serve)
			return
		}
		serve.ServeHTTP(w, r)
	}
}

// slow answers after a while.
func slow(d time.Duration) plant {
	return func(w http.ResponseWriter, r *http.Request, serve http.Handler) {
		time.Sleep(d)
		serve.ServeHTTP(w, r)
	}
}
