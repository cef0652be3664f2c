//go:build linux

package epoll_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/enginetest"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/epoll"
)

func newEngine(cfg engine.Config) engine.Engine {
	e, err := epoll.New(cfg)
	if err != nil {
		panic(err)
	}
	return e
}

func TestSuite(t *testing.T) { enginetest.Suite{New: newEngine}.Run(t) }

func TestSuiteOverTLS(t *testing.T) { enginetest.Suite{New: newEngine, Secure: overTLS}.Run(t) }

func BenchmarkBroadcast(b *testing.B) { enginetest.Suite{New: newEngine}.Benchmark(b) }

func BenchmarkBroadcastOverTLS(b *testing.B) {
	enginetest.Suite{New: newEngine, Secure: overTLS}.Benchmark(b)
}

// A connection that is no socket is refused, and closed.
func TestWhatIsNoSocketIsRefused(t *testing.T) {
	e := newEngine(engine.Config{})
	defer e.Shutdown(t.Context())
	server, client := net.Pipe()
	if _, err := e.Adopt(server, nil, engine.Protobuf, nil); !errors.Is(err, epoll.ErrNoSocket) {
		t.Errorf("a pipe: %v, want %v", err, epoll.ErrNoSocket)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("its other end reads %v", err)
	}
}

// under is the socket below TLS, which an engine may take away.
type under struct {
	*net.TCPConn
	elsewhere io.ReadWriter
}

func (c *under) Read(p []byte) (int, error) {
	if c.elsewhere != nil {
		return c.elsewhere.Read(p)
	}
	return c.TCPConn.Read(p)
}

func (c *under) Write(p []byte) (int, error) {
	if c.elsewhere != nil {
		return c.elsewhere.Write(p)
	}
	return c.TCPConn.Write(p)
}

type secured struct{ *tls.Conn }

func (c secured) Detach() engine.Detached {
	u := c.NetConn().(*under)
	return engine.Detached{Socket: u.TCPConn, TLS: c.Conn, Redirect: func(rw io.ReadWriter) { u.elsewhere = rw }}
}

// certificate is one for tests.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"test"}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
})

// overTLS shakes hands over a pair of sockets.
func overTLS(t testing.TB, server, client net.Conn) (net.Conn, net.Conn) {
	t.Helper()
	s := tls.Server(&under{TCPConn: server.(*net.TCPConn)}, &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS13})
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is of this process
	shaken := make(chan error, 1)
	go func() { shaken <- c.HandshakeContext(t.Context()) }()
	if err := errors.Join(s.HandshakeContext(t.Context()), <-shaken); err != nil {
		t.Fatal(err)
	}
	return secured{s}, c
}

// What crypto/tls keeps of a connection that says nothing is little: its keys, and no buffers.
func TestAQuietTLSConnectionIsSmall(t *testing.T) {
	const conns, most = 200, 6 << 10
	e := newEngine(engine.Config{})
	defer e.Shutdown(t.Context())
	var clients []net.Conn
	var before, after runtime.MemStats
	grow := func(n int) {
		for range n {
			server, client := socketPair(t)
			server, client = overTLS(t, server, client)
			if _, err := e.Adopt(server, nil, engine.Protobuf, &enginetest.Listener{}); err != nil {
				t.Fatal(err)
			}
			// The client's half is in this process too: of it only the socket stays, that nothing may close.
			clients = append(clients, client.(*tls.Conn).NetConn())
		}
		time.Sleep(50 * time.Millisecond) // until the loops have them
		runtime.GC()
		runtime.GC()
	}
	grow(20)
	runtime.ReadMemStats(&before)
	grow(conns)
	runtime.ReadMemStats(&after)
	if each := int64(after.HeapAlloc-before.HeapAlloc) / conns; each > most {
		t.Errorf("%d bytes a connection, both ends' sockets with them; want at most %d", each, most)
	}
	for _, c := range clients {
		c.Close()
	}
}

func socketPair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err == nil {
		server, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}
