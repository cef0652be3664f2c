package bus_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/election"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/owner/ownertest"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// storeEnv makes the test binary a store, configured by its value, until its standard input ends.
const storeEnv = "CHATFLEET_STORE_CHILD"

// patientEnv makes that store wait for a minute of silence before it stands for election.
const patientEnv = "CHATFLEET_STORE_PATIENT"

// TestStoreChild is a store in a process of its own, for tests that stop or kill it.
func TestStoreChild(t *testing.T) {
	text := os.Getenv(storeEnv)
	if text == "" {
		t.Skip("runs as a child of other tests")
	}
	var c bus.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	c.Registerer, c.Logger = prometheus.NewRegistry(), slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if os.Getenv(patientEnv) != "" {
		election.Fast.MinElection, election.Fast.MaxElection = time.Minute, 2*time.Minute
	}
	s, err := bus.StartStore(c)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s.Ready)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Stop()
}

// child is a store in a process of its own.
type child struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout io.Reader
}

func startChild(t *testing.T, c bus.Config) *child {
	t.Helper()
	c.Logger, c.Registerer = nil, nil
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestStoreChild$", "-test.timeout", "15m")
	cmd.Env = append(os.Environ(), storeEnv+"="+string(text))
	cmd.Stderr = lastLines(t)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd, stdin, stdout}
}

// ready waits until the store is.
func (c *child) ready(t *testing.T) {
	t.Helper()
	lines := bufio.NewScanner(c.stdout)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return
		}
	}
	t.Fatal("a store ended before it was ready")
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (c *child) end() {
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	c.stdin.Close()
	late := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait() // killed ones end with an error
	late.Stop()
}

// posted is what was acknowledged.
type posted struct {
	mu    sync.Mutex
	acked map[string]map[uint64]uint64 // log -> random id -> pts
	waits []time.Duration              // the longest in each round
	worst time.Duration
}

// TestStoppedStores stops stores that own partitions, past the election of others, and lets them go on, under load. Each stop of a
// store is a history for every partition that it owned. What an owner appends that does not know it is none any more must be
// no part of any log.
func TestStoppedStores(t *testing.T) {
	const partitions, want = 16, 100
	r := startRegion(t, 3, partitions, nil)
	begun := time.Now()
	// Two of the three become processes that can be stopped; the third shows what the streams hold.
	var children []*child
	for i := range 2 {
		r.stores[i].Stop()
		children = append(children, startChild(t, r.configs[i]))
		defer children[i].end()
	}
	here := r.stores[2]
	r.stores = r.stores[2:]
	eventually(t, here.Ready)

	logs := logPerPartition(partitions)
	for _, log := range logs {
		r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
			Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}})
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &posted{acked: map[string]map[uint64]uint64{}}
	var posters sync.WaitGroup
	for i := range 4 * partitions {
		posters.Go(func() { r.keepPosting(ctx, t, p, logs[i%partitions], uint64(i)<<32) })
	}
	histories := 0
	for round := 0; histories < want && round < 100 && !t.Failed(); round++ {
		before := ledBy(here, partitions)
		c := children[rand.IntN(2)]
		c.signal(t, syscall.SIGSTOP)
		time.Sleep(time.Duration(1200+rand.IntN(1500)) * time.Millisecond)
		c.signal(t, syscall.SIGCONT)
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		moved := 0
		for p, led := range ledBy(here, partitions) {
			if led && !before[p] {
				moved++
			}
		}
		// Those that moved here are seen; about as many moved to the other one.
		histories += 2 * moved
		eventually(t, here.Ready)
		p.mu.Lock()
		p.waits, p.worst = append(p.waits, p.worst), 0
		p.mu.Unlock()
		giveBack(t, here, partitions)
	}
	stop()
	posters.Wait()
	if histories < want {
		t.Errorf("only %d histories of %d", histories, want)
	}
	total, voids, terms := 0, 0, 0
	for part, log := range logs {
		s, err := ownertest.Read(readStream(t, here, part))
		if err != nil {
			t.Errorf("partition %d: %v", part, err)
			continue
		}
		for id, pts := range p.acked[log] {
			if got := s.At(log, pts); got != id {
				t.Errorf("post %d of log %s was acknowledged at %d, where %d stands", id, log, pts, got)
			}
		}
		total, voids, terms = total+len(p.acked[log]), voids+s.Voids, terms+s.Terms
	}
	t.Logf("%d histories in %v, %d posts acknowledged, %d terms, %d void events, longest waits by round %v", histories, time.Since(begun), total, terms, voids, p.waits)
}

// keepPosting posts one after the other until ctx ends.
func (r *region) keepPosting(ctx context.Context, t *testing.T, p *posted, log string, id uint64) {
	for ctx.Err() == nil {
		id++
		ask, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		begun := time.Now()
		reply, err := r.shard.Ask(ask, logid.Partition(log, r.partitions), &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Post{
			Post: &chatv1.PostRequest{Log: log, RandomId: id, Message: &chatv1.Message{Text: fmt.Sprint("post ", id)}}}})
		cancel()
		if err != nil || reply.Error != nil {
			t.Errorf("post %d to %s: %v %v", id, log, err, reply.GetError())
			return
		}
		p.mu.Lock()
		if p.acked[log] == nil {
			p.acked[log] = map[uint64]uint64{}
		}
		p.acked[log][id] = reply.Pts
		p.worst = max(p.worst, time.Since(begun))
		p.mu.Unlock()
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
}

// logPerPartition finds a log's id for each partition.
func logPerPartition(partitions int) []string {
	logs := make([]string, partitions)
	for found, i := 0, 0; found < partitions; i++ {
		id := logid.Create(chatv1.LogKind_LOG_KIND_CHANNEL, fmt.Sprint("user", i), 1)
		if p := logid.Partition(id, partitions); logs[p] == "" {
			logs[p] = id
			found++
		}
	}
	return logs
}

func ledBy(s *bus.Store, partitions int) []bool {
	led := make([]bool, partitions)
	for _, p := range s.Leads() {
		led[p] = true
	}
	return led
}

// giveBack moves most partitions that s leads to the other stores, so that there are some to stop.
func giveBack(t *testing.T, s *bus.Store, partitions int) {
	t.Helper()
	n := 0
	for p, led := range ledBy(s, partitions) {
		if led {
			if n++; n > partitions/8 {
				s.StepDown(p)
			}
		}
	}
	time.Sleep(300 * time.Millisecond)
}

// readStream reads all messages of a partition's stream of events.
func readStream(t *testing.T, s *bus.Store, partition int) [][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := s.JetStream().Stream(ctx, s.LogStream(partition))
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var messages [][]byte
	for last := stream.CachedInfo().State.LastSeq; uint64(len(messages)) < last; {
		batch, err := consumer.Fetch(int(min(1000, last-uint64(len(messages)))), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil || meta.Sequence.Stream != uint64(len(messages))+1 {
				t.Fatalf("message %d of the stream is not the next after %d (%v)", meta.Sequence.Stream, len(messages), err)
			}
			messages = append(messages, m.Data())
		}
		if ctx.Err() != nil {
			t.Fatalf("read %d of %d messages in a minute", len(messages), last)
		}
	}
	return messages
}
