package gateway

import (
	"crypto/tls"
	"io"
	"net"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// secured is a TLS connection of LimitListener: the HTTP server knows only the plain type, and the engine asks for more.
type secured struct {
	*tls.Conn
	*visitor
}

// admittedTLS gives a TLS connection back what TLS has hidden. Any other stays what it is.
func admittedTLS(conn net.Conn, v *visitor) net.Conn {
	if c, ok := conn.(*tls.Conn); ok && v != nil {
		return &secured{c, v}
	}
	return conn
}

// Detach implements engine.Detacher.
func (c *secured) Detach() engine.Detached {
	under, ok := c.NetConn().(*admittedTCP)
	if !ok {
		return engine.Detached{}
	}
	d := under.Detach()
	d.TLS, d.Redirect = c.Conn, func(rw io.ReadWriter) { under.elsewhere.Store(&rw) }
	return d
}

// SetWriteBuffer bounds what the system holds of a session.
func (c *secured) SetWriteBuffer(bytes int) error {
	if under, ok := c.NetConn().(*admittedTCP); ok {
		return under.SetWriteBuffer(bytes)
	}
	return nil
}
