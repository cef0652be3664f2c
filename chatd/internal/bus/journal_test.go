package bus

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Messages of a batch that are lost on their way are asked for again; what no answer holds is passed over, for the owner to judge.
func TestTailAsksAgainForWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		name string
		// lost are sequences that the nth answer lacks, of the 10 in the stream; gone that none has.
		lost map[int][]uint64
		gone []uint64
		want []uint64
	}{
		{name: "nothing is lost", want: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{name: "in the middle", lost: map[int][]uint64{1: {4, 5}}, want: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{name: "in the middle, and again elsewhere", lost: map[int][]uint64{1: {4, 5}, 2: {5}, 3: {7}}, want: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{name: "the first", lost: map[int][]uint64{1: {1, 2}}, want: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{name: "the stream begins later", gone: []uint64{1, 2, 3}, want: []uint64{4, 5, 6, 7, 8, 9, 10}},
		{name: "the stream begins later, and more is lost", gone: []uint64{1, 2, 3}, lost: map[int][]uint64{1: {4}, 2: {4, 5}, 4: {9}}, want: []uint64{4, 5, 6, 7, 8, 9, 10}},
		{name: "a hole in the stream", gone: []uint64{6}, want: []uint64{1, 2, 3, 4, 5, 7, 8, 9, 10}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
			if err != nil {
				t.Fatal(err)
			}
			srv.Start()
			defer srv.Shutdown()
			connect := func() (*nats.Conn, error) { return nats.Connect("", nats.InProcessServer(srv)) }
			loads, err := newLane(connect)
			if err != nil {
				t.Fatal(err)
			}
			defer loads.close()
			stream, err := connect()
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			j := newJournal(subjects{"test"}, 0, "", nil, loads, nil)
			answers := 0
			if _, err := stream.Subscribe(j.logAPI, func(m *nats.Msg) {
				answers++
				var req getRequest
				if err := json.Unmarshal(m.Data, &req); err != nil {
					t.Error(err)
				}
				for seq := req.Seq; seq <= 10; seq++ {
					if !slices.Contains(test.lost[answers], seq) && !slices.Contains(test.gone, seq) {
						_ = stream.PublishMsg(&nats.Msg{Subject: m.Reply, Data: fmt.Append(nil, seq),
							Header: nats.Header{nats.JSSequence: []string{strconv.FormatUint(seq, 10)}}})
					}
				}
				_ = stream.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{"Status": []string{"204"}, numPending: []string{"0"}}})
			}); err != nil {
				t.Fatal(err)
			}
			if err := stream.FlushTimeout(time.Minute); err != nil {
				t.Fatal(err)
			}
			var got []uint64
			last, err := j.Tail(t.Context(), 0, func(seq uint64, data []byte) error {
				if string(data) != fmt.Sprint(seq) {
					t.Errorf("%q is visited as %d", data, seq)
				}
				got = append(got, seq)
				return nil
			})
			if err != nil || last != 10 || !slices.Equal(got, test.want) {
				t.Errorf("visited %v up to %d (%v), want %v", got, last, err, test.want)
			}
		})
	}
}
