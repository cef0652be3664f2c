package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
)

// The fuzz targets start from the table of refusals, and send what becomes of it to the same gateway, shard, owner and store; by pipes in
// memory, since sockets run out of ports.

// lenient has no limits of rate: a fuzzer is more than any.
var lenient = &doorKind{
	name: "lenient", memory: true,
	shard: func(c *shard.Config) {
		c.RequestsPerSecond, c.RequestBurst, c.UserRequestsPerSecond, c.UserRequestBurst = 1e9, 1e9, 1e9, 1e9
		c.MaxUserSessions = 1e9
	},
	gateway: func(c *gateway.Config) { c.HeadersWithin, c.BodyWithin = time.Second, time.Second },
}

const tokenMark = "@token"

// seeds are the bytes of the table's rows at a stage, with a mark in place of the token, which is another in each process.
func (d *door) seeds(f *testing.F, add func(data []byte), stages ...stage) {
	token := d.token("mallory")
	n := 0
	for _, s := range table() {
		for _, r := range s.rows {
			for _, at := range stages {
				if r.at != at {
					continue
				}
				if data := r.send(d); len(data) <= 64<<10 {
					add(bytes.ReplaceAll(data, []byte(token), []byte(tokenMark)))
					n++
				}
			}
		}
	}
	if n < 10 {
		f.Fatalf("%d seeds from the table", n)
	}
}

// fuzzed is what the server said to bytes, until it or they came to their end.
func (d *door) fuzzed(t *testing.T, s *stranger, data []byte, ends func(*stranger)) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = s.conn.Write(data) // the server may hang up before the end
	}()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		ends(s)
	}()
	select {
	case <-heard:
	case <-written:
		// What is left to be said is said at once, or waits for bytes that will not come.
		select {
		case <-heard:
		case <-time.After(time.Millisecond):
		}
	case <-time.After(patience):
		t.Error("the server neither reads nor hangs up")
	}
	s.conn.Close()
	<-heard
	<-written
}

// over reports whether reading has ended because the connection has.
func over(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// Whatever comes in a session, what goes out are good frames, and in the end nothing is left of it.
func FuzzFrames(f *testing.F) {
	w := newWorld(f)
	d := w.open(lenient)
	d.seeds(f, func(data []byte) { f.Add(true, data) }, inJSON)
	d.seeds(f, func(data []byte) { f.Add(false, data) }, inBinary)
	goodbye := frame(fin|closed, []byte{3, 0xe8})
	f.Fuzz(func(t *testing.T, json bool, data []byte) {
		at := inBinary
		if json {
			at = inJSON
		}
		s := d.connect(t, "", at)
		d.fuzzed(t, s, append(bytes.Clone(data), goodbye...), func(s *stranger) {
			for {
				f, code, _, err := s.readFrame()
				if err != nil && !over(err) {
					t.Errorf("a bad frame from the server: %v", err)
				}
				if err != nil {
					return
				}
				if e := f.GetError(); e != nil && (e.GetMessage() == "" || e.GetCode().String() == "CODE_INTERNAL") {
					t.Errorf("an error without a word, or a defect: %v", e)
				}
				if code == engine.CloseCode(4015) {
					t.Error("closed for a defect of the server")
				}
			}
		})
		for begun := time.Now(); d.shard.Sessions() > 0; time.Sleep(100 * time.Microsecond) {
			if time.Since(begun) > patience {
				t.Fatal("a session is left of it")
			}
		}
	})
}

// Whatever comes over HTTP, what goes out are good answers, and none says that the server has a defect.
func FuzzHTTP(f *testing.F) {
	w := newWorld(f)
	d := w.open(lenient)
	d.seeds(f, func(data []byte) { f.Add(data) }, connected)
	token := []byte(w.token("mallory"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := d.connect(t, "", connected)
		d.fuzzed(t, s, bytes.ReplaceAll(data, []byte(tokenMark), token), func(s *stranger) {
			in := bufio.NewReader(s.conn)
			for {
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					if !over(err) {
						t.Errorf("a bad answer: %v", err)
					}
					return
				}
				if res.StatusCode == http.StatusSwitchingProtocols {
					_, _ = io.Copy(io.Discard, in)
					return
				}
				body, err := io.ReadAll(res.Body)
				if err == nil && res.StatusCode == http.StatusInternalServerError || strings.Contains(string(body), `"internal"`) {
					t.Errorf("a defect: %s", body)
				}
			}
		})
	})
}

// Whatever is said to be a token, nobody is let in but by one that was signed as it is.
func FuzzTokens(f *testing.F) {
	w := newWorld(f)
	d := w.open(lenient)
	good := w.token("mallory")
	f.Add(good)
	for _, k := range tokenKinds() {
		f.Add(k.token(w))
	}
	if user, failed := d.shard.Authenticate(good); failed != nil || user != "mallory" {
		f.Fatalf("the good token is not good: %v", failed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		user, failed := d.shard.Authenticate(raw)
		switch {
		case failed != nil && (failed.GetMessage() == "" || len(failed.GetMessage()) > 1000):
			t.Errorf("refused with a message of %d bytes", len(failed.GetMessage()))
		case failed == nil && (user != "mallory" || !w.signed(raw)):
			t.Errorf("%s is let in by %q", user, raw)
		}
	})
}

// signed checks a token's signature without package token.
func (w *world) signed(raw string) bool {
	raw = strings.Join(strings.Fields(raw), "") // as JOSE's readers do
	dot := strings.LastIndexByte(raw, '.')
	if dot < 0 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
	return err == nil && ed25519.Verify(w.key.Public().(ed25519.PublicKey), []byte(raw[:dot]), signature)
}
