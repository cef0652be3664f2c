package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// oneLoop is a swarm with one loop.
func oneLoop(t *testing.T) (*swarm, *loop) {
	t.Helper()
	s := &swarm{}
	l, err := newLoop(s)
	if err != nil {
		t.Fatal(err)
	}
	s.loops = []*loop{l}
	return s, l
}

// subscriber gives a swarm one more subscriber, and returns the other end of its connection.
func subscriber(t *testing.T, s *swarm, l *loop) int {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		t.Fatal(err)
	}
	l.add(&conn{fd: ends[0]})
	s.count++
	return ends[1]
}

func TestTheSwarmFindsPostsWhereverTheyAreCut(t *testing.T) {
	var all []byte
	for n := range uint64(3) {
		all = append(all, textFrame(text(n, 200))...)
	}
	for cut := range len(all) {
		s, l := oneLoop(t)
		end := subscriber(t, s, l)
		s.expect(order{First: 0, Posts: 3})
		for _, part := range [][]byte{all[:cut], all[cut:]} {
			if err := writeAll(end, part); err != nil {
				t.Fatal(err)
			}
			if cut%50 == 0 {
				time.Sleep(time.Millisecond) // so that the loop sees them apart
			}
		}
		if a := s.await(order{Within: time.Minute}); a.Deliveries != 3 || a.Doubled != 0 || a.Disordered != 0 || a.Error != "" {
			t.Fatalf("cut at %d: %+v", cut, a)
		}
	}
}

func TestTheSwarmSeesWhatMustNotBe(t *testing.T) {
	for name, c := range map[string]struct {
		first, second []uint64 // posts of the two subscribers
		want          answer
	}{
		"all well":           {[]uint64{5, 6, 7}, []uint64{5, 6, 7}, answer{Deliveries: 6}},
		"another order":      {[]uint64{6, 5, 7}, []uint64{6, 5, 7}, answer{Deliveries: 6}},
		"not of one mind":    {[]uint64{5, 6, 7}, []uint64{5, 7, 6}, answer{Deliveries: 6, Disordered: 2}},
		"lost":               {[]uint64{5, 6, 7}, []uint64{5, 6}, answer{Deliveries: 5}},
		"doubled":            {[]uint64{5, 6, 6, 7}, []uint64{5, 6, 7}, answer{Deliveries: 6, Doubled: 1}},
		"of a round before":  {[]uint64{4, 5, 6, 7}, []uint64{5, 6, 7}, answer{Deliveries: 6, Doubled: 1}},
		"nothing at all":     {nil, nil, answer{}},
		"more than was sent": {[]uint64{5, 6, 7, 8}, []uint64{5, 6, 7}, answer{Deliveries: 6, Doubled: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := oneLoop(t)
			ends := []int{subscriber(t, s, l), subscriber(t, s, l)}
			s.expect(order{First: 5, Posts: 3})
			for i, posts := range [][]uint64{c.first, c.second} {
				var all []byte
				for _, n := range posts {
					all = append(all, textFrame(text(n, 100))...)
				}
				if err := writeAll(ends[i], all); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			got := s.await(order{Within: 100 * time.Millisecond})
			got.P50, got.P99, got.Last = 0, 0, 0
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestACutSubscriberIsSaid(t *testing.T) {
	s, l := oneLoop(t)
	end := subscriber(t, s, l)
	s.expect(order{Posts: 1})
	if err := unix.Close(end); err != nil {
		t.Fatal(err)
	}
	if a := s.await(order{Within: 100 * time.Millisecond}); !strings.Contains(a.Error, "cut") {
		t.Errorf("%+v", a)
	}
}

// Each of this program's own servers brings posts to subscribers who come in by the door that it names.
func TestServersBringPosts(t *testing.T) {
	for name, of := range servers {
		t.Run(name, func(t *testing.T) {
			server := of()
			d, err := server.listen()
			if err != nil {
				t.Fatal(err)
			}
			s := &swarm{}
			for range swarmLoops {
				l, err := newLoop(s)
				if err != nil {
					t.Fatal(err)
				}
				s.loops = append(s.loops, l)
			}
			if err := s.connect(d, 20); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // for those who take subscribers in after their answer
			s.expect(order{First: 1, Posts: 4})
			var texts []string
			for n := range uint64(4) {
				texts = append(texts, text(n+1, 200))
			}
			if err := server.post(texts); err != nil {
				t.Fatal(err)
			}
			if a := s.await(order{Within: time.Minute}); a.Deliveries != 80 || a.Doubled+a.Disordered != 0 || a.Error != "" {
				t.Errorf("%+v", a)
			}
		})
	}
}

// Over TLS posts are found as well, however the records cut them.
func TestTheSwarmSpeaksTLS(t *testing.T) {
	var frames []byte
	for n := range uint64(3) {
		frames = append(frames, textFrame(text(n+1, 200))...)
	}
	expecting := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		<-expecting
		for part := range slices.Chunk(frames, 70) {
			_, _ = conn.Write(part) // a record each
		}
	}))
	defer server.Close()
	s, _ := oneLoop(t)
	if err := s.connect(door{Address: server.Listener.Addr().String(), Path: "/", TLS: true}, 20); err != nil {
		t.Fatal(err)
	}
	s.expect(order{First: 1, Posts: 3})
	close(expecting)
	if a := s.await(order{Within: time.Minute}); a.Deliveries != 60 || a.Doubled+a.Disordered != 0 || a.Error != "" {
		t.Errorf("%+v", a)
	}
}

func TestADoorThatIsShut(t *testing.T) {
	shut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer shut.Close()
	s := &swarm{}
	if err := s.connect(door{Address: shut.Listener.Addr().String(), Path: "/"}, 3); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v", err)
	}
}

func TestTable(t *testing.T) {
	r := &Results{Sessions: 1000, Burst: 10, Results: []*Result{
		{Target: "bare-1", BytesEach: []float64{20, 30, 40}, Rounds: []Round{{0, 1, 1, 2, 10, 8, 8, 0, 0, 0}, {0, 1, 1, 2, 30, 12, 12, 0, 0, 0}, {0, 10, 1, 2, 100, 1, 1, 0, 0, 0}}},
		{Target: "bare-2", BytesEach: []float64{20}, Rounds: []Round{{0, 1, 1, 2, 10, 10, 10, 0, 0, 0}}},
		{Target: "chatd", BytesEach: []float64{900}, SystemShare: 0.5, Rounds: []Round{{0, 1, 1, 2, 15, 20, 40, 0, 0, 0}, {0, 10, 1, 2, 200, 2, 3, 1, 2, 3}}},
	}}
	rows := r.cells()
	for i, want := range []string{
		"bare-1|10.0|10.0 + 0.0|1.00|10.0|1|2|20|2.00|100 k|–|1.00|30|0|0|0",
		"bare-2|10.0|10.0 + 0.0|1.00|10.0|1|2|10|1.00|0 k|–|0.00|20|0|0|0",
		"chatd|20.0|10.0 + 10.0|2.00|40.0|1|2|15|1.50|50 k|–|2.00|900|1|2|3",
	} {
		if got := strings.Join(rows[i], "|"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	reader := xml.NewDecoder(bytes.NewReader([]byte(r.picture())))
	for {
		if _, err := reader.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}
