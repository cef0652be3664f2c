package bus_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

var (
	quietLogs  = flag.Int("quiet.logs", 2000, "logs in the partition of BenchmarkQuietLogs")
	quietPosts = flag.Int("quiet.posts", 2, "posts in each, before the measurement")
	quietBytes = flag.Int("quiet.bytes", 6300, "bytes of each")
	quietFor   = flag.Duration("quiet.for", 2*time.Second, "how long each rate is measured")
)

// BenchmarkQuietLogs is the measurement of docs/decisions/001: posts to any of many quiet logs of one partition, right after
// the stores were started, and the difference of a cold log; through the owner, and by JetStream's republish.
//
// "make bench-quiet-logs" runs it at the size that decides.
func BenchmarkQuietLogs(b *testing.B) {
	for _, path := range []string{"owner", "republish"} {
		b.Run(path, func(b *testing.B) {
			// The logs are made with Replicated, to save time; each measurement begins with a restart.
			r := startRegion(b, 3, 1, func(c *bus.Config) { c.Durability = bus.Replicated })
			q := &quiet{region: r, logs: make([]string, *quietLogs)}
			for i := range q.logs {
				q.logs[i] = logid.Create(chatv1.LogKind_LOG_KIND_CHANNEL, "ann", uint64(i))
			}
			post := q.throughOwner
			if path == "republish" {
				q.makeRepublishing(b)
				post = q.republished
			}
			q.fill(b, path, post)
			for _, durability := range []bus.Durability{bus.Fsync, bus.Replicated} {
				b.Run(string(durability), func(b *testing.B) {
					q.restart(b, durability)
					b.ResetTimer()
					q.measure(b, post)
					if path == "owner" {
						q.differences(b)
					}
				})
			}
		})
	}
}

type quiet struct {
	*region
	logs []string
	next atomic.Uint64
	js   jetstream.JetStream
}

func (q *quiet) throughOwner(log string, create bool) error {
	req := &wire.OwnerRequest{User: "ann"}
	if create {
		req.Body = &wire.OwnerRequest_Create{Create: &wire.Create{Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}
	} else {
		req.Body = &wire.OwnerRequest_Post{Post: &chatv1.PostRequest{Log: log, RandomId: q.next.Add(1), Message: &chatv1.Message{Data: make([]byte, *quietBytes)}}}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := q.shard.Ask(ctx, 0, req)
	if err == nil && reply.Error != nil {
		err = fmt.Errorf("%v", reply.Error)
	}
	return err
}

func (q *quiet) makeRepublishing(b *testing.B) {
	_, err := q.stores[0].JetStream().CreateStream(context.Background(), jetstream.StreamConfig{
		Name: "REPUBLISH", Subjects: []string{"re.*"}, Storage: jetstream.FileStorage, Replicas: 3, AllowDirect: true,
		RePublish: &jetstream.RePublish{Source: "re.*", Destination: "live.re.{{wildcard(1)}}"},
	})
	if err != nil {
		b.Fatal(err)
	}
	q.connect(b)
}

func (q *quiet) connect(b *testing.B) {
	js, err := jetstream.New(q.stores[0].Conn(), jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		b.Fatal(err)
	}
	q.js = js
}

func (q *quiet) republished(log string, create bool) error {
	size := *quietBytes
	if create {
		size = 100
	}
	ack, err := q.js.PublishAsync("re."+log, make([]byte, size))
	if err != nil {
		return err
	}
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return err
	}
}

// each runs do on many goroutines until it says that there is no more, and fails on the first error.
func each(b *testing.B, goroutines int, do func() (more bool, err error)) {
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for {
				more, err := do()
				if err != nil {
					b.Error(err)
				}
				if err != nil || !more {
					return
				}
			}
		})
	}
	group.Wait()
}

func (q *quiet) fill(b *testing.B, path string, post func(string, bool) error) {
	begun := time.Now()
	for round := range *quietPosts + 1 {
		fmt.Printf("%s: filling, round %d of %d, after %v\n", path, round+1, *quietPosts+1, time.Since(begun).Round(time.Second))
		var i atomic.Int64
		each(b, 512, func() (bool, error) {
			n := int(i.Add(1)) - 1
			if n >= len(q.logs) {
				return false, nil
			}
			return true, post(q.logs[n], round == 0)
		})
	}
	stream := q.stores[0].LogStream(0)
	if path == "republish" {
		stream = "REPUBLISH"
	}
	s, err := q.stores[0].JetStream().Stream(context.Background(), stream)
	if err != nil {
		b.Fatal(err)
	}
	bytes := s.CachedInfo().State.Bytes
	fmt.Printf("%s: filled %d logs, %d events, %.2f GB a store, in %v\n", path, len(q.logs), s.CachedInfo().State.Msgs, float64(bytes)/1e9, time.Since(begun))
}

func (q *quiet) restart(b *testing.B, durability bus.Durability) {
	q.stopStores()
	for i := range q.configs {
		q.configs[i].Durability = durability
	}
	begun := time.Now()
	q.startStores(b)
	fmt.Printf("ready %v after the start\n", time.Since(begun))
	if q.js != nil {
		q.connect(b)
	}
}

// measure posts to logs at random: as fast as 256 posters can, then 500 a second.
func (q *quiet) measure(b *testing.B, post func(string, bool) error) {
	var done atomic.Int64
	var mu sync.Mutex
	var waits []time.Duration
	end := time.Now().Add(*quietFor)
	each(b, 256, func() (bool, error) {
		begun := time.Now()
		err := post(q.logs[rand.IntN(len(q.logs))], false)
		done.Add(1)
		mu.Lock()
		waits = append(waits, time.Since(begun))
		mu.Unlock()
		return time.Now().Before(end), err
	})
	b.ReportMetric(float64(done.Load())/quietFor.Seconds(), "posts/s")
	b.ReportMetric(float64(quantile(waits, 0.99).Microseconds())/1000, "p99-ms-at-full-speed")

	waits = nil
	var group sync.WaitGroup
	const rate = 500
	begun := time.Now()
	for i := range int(quietFor.Seconds() * rate) {
		due := begun.Add(time.Duration(i) * time.Second / rate)
		time.Sleep(time.Until(due))
		group.Go(func() {
			if err := post(q.logs[rand.IntN(len(q.logs))], false); err != nil {
				b.Error(err)
			}
			mu.Lock()
			waits = append(waits, time.Since(due))
			mu.Unlock()
		})
	}
	group.Wait()
	b.ReportMetric(float64(quantile(waits, 0.5).Microseconds())/1000, "p50-ms-500/s")
	b.ReportMetric(float64(quantile(waits, 0.99).Microseconds())/1000, "p99-ms-500/s")
}

// differences reads whole logs that nobody has touched since the start, one after the other: by the owner, which loads the log's
// state first, and by the stream's own filter.
func (q *quiet) differences(b *testing.B) {
	var byOwner, byFilter []time.Duration
	for range 200 {
		log := q.logs[rand.IntN(len(q.logs))]
		begun := time.Now()
		if got := q.fetch(b, log, 0, 100); len(got) < *quietPosts {
			b.Fatalf("log %s has %d events", log, len(got))
		}
		byOwner = append(byOwner, time.Since(begun))
	}
	for range 200 {
		begun := time.Now()
		q.filtered(b, q.logs[rand.IntN(len(q.logs))])
		byFilter = append(byFilter, time.Since(begun))
	}
	b.ReportMetric(float64(quantile(byOwner, 0.5).Microseconds())/1000, "difference-p50-ms")
	b.ReportMetric(float64(quantile(byOwner, 0.99).Microseconds())/1000, "difference-p99-ms")
	b.ReportMetric(float64(quantile(byFilter, 0.5).Microseconds())/1000, "filter-p50-ms")
	b.ReportMetric(float64(quantile(byFilter, 0.99).Microseconds())/1000, "filter-p99-ms")
}

// filtered reads a log's events one by one, each as the next one of its subject. A batch of them would count what is left first.
func (q *quiet) filtered(b *testing.B, log string) {
	for seq := uint64(1); ; {
		body, err := json.Marshal(map[string]any{"seq": seq, "next_by_subj": "log.test.0." + log})
		if err != nil {
			b.Fatal(err)
		}
		m, err := q.stores[0].Conn().Request("$JS.API.DIRECT.GET."+q.stores[0].LogStream(0), body, time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		if m.Header.Get("Status") != "" {
			return
		}
		at, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		seq = at + 1
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}
