package engine

import (
	"crypto/tls"
	"io"
	"net"
)

// Detacher is a connection whose socket an engine may take for itself, after which nobody calls the connection's methods any more.
type Detacher interface {
	Detach() Detached
}

// Detached is what there is behind such a connection.
type Detached struct {
	// Socket is nil if there is none.
	Socket *net.TCPConn
	// TLS is what is spoken over it, nil if nothing is. Redirect then has it read from and write to something else than the socket.
	TLS      *tls.Conn
	Redirect func(io.ReadWriter)
	// Left, if not nil, is to be called once the socket is closed.
	Left func()
}

// Gone calls Left.
func (d Detached) Gone() {
	if d.Left != nil {
		d.Left()
	}
}
