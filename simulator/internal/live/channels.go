package live

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
	"github.com/chatfleet/chatfleet/simulator/internal/history"
	"github.com/chatfleet/chatfleet/simulator/internal/mint"
	"github.com/chatfleet/chatfleet/simulator/internal/poster"
)

const (
	// channelsPerAuthor bounds the user log of an author, which has an entry for each channel.
	channelsPerAuthor = 50
	createParallel    = 16
	defaultCreate     = 30 * time.Second
)

// channels are the logs of a run, by schedule.Post.Log.
type channels struct {
	post []poster.Log
	read []history.Log
}

func (c channels) ids() []string {
	ids := make([]string, len(c.read))
	for i, log := range c.read {
		ids[i] = log.ID
	}
	return ids
}

// createChannels makes the channels of a run. New ones: what a run expects begins at their first position.
func createChannels(ctx context.Context, run uint64, n int, endpoints []string, m *mint.Minter, within time.Duration) (channels, error) {
	out := channels{make([]poster.Log, n), make([]history.Log, n)}
	client := &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, MaxIdleConnsPerHost: createParallel,
	}}
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(createParallel)
	for i := range n {
		group.Go(func() error {
			token, err := m.Mint(fmt.Sprintf("sim-author-%d", i/channelsPerAuthor))
			if err != nil {
				return err
			}
			request := connect.NewRequest(&chatv1.CreateRequest{
				Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: fmt.Sprintf("simulated channel %d", i), RandomId: max(1, run+uint64(i)),
			})
			request.Header().Set("Authorization", "Bearer "+token)
			answer, err := create(ctx, client, endpoints, i, request, within)
			if err != nil {
				return fmt.Errorf("make channel %d of %d: %w", i, n, err)
			}
			out.post[i] = poster.Log{ID: answer.GetLog(), Token: token}
			out.read[i] = history.Log{ID: answer.GetLog(), Epoch: answer.GetEpoch(), Pts: answer.GetPts()}
			return nil
		})
	}
	return out, group.Wait()
}

// create tries one endpoint after the other, for so long. The same random id is the same channel, so a try too many makes none.
func create(ctx context.Context, client *http.Client, endpoints []string, turn int, request *connect.Request[chatv1.CreateRequest], within time.Duration) (*chatv1.CreateResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for ; ; turn++ {
		service := chatv1connect.NewChatServiceClient(client, endpoints[turn%len(endpoints)])
		tryCtx, cancelTry := context.WithTimeout(ctx, 5*time.Second)
		answer, err := service.Create(tryCtx, request)
		cancelTry()
		if err == nil {
			return answer.Msg, nil
		}
		switch connect.CodeOf(err) {
		case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled, connect.CodeResourceExhausted, connect.CodeUnknown:
		default:
			return nil, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}
