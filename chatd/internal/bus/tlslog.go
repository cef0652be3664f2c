package bus

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
)

// sayTLSEvery is how often the same trouble with TLS is logged: a shard tries ten times a second.
const sayTLSEvery = time.Minute

// tlsTrouble logs what the embedded server says of TLS, in our words and not each time.
type tlsTrouble struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// handshakeFailed reports whether an error of the embedded server is about TLS, and logs it then.
func (l natsLogger) handshakeFailed(format string, args []any) bool {
	var err error
	for _, a := range args {
		if e, ok := a.(error); ok {
			err = e
		}
	}
	var op *net.OpError
	told := errors.As(err, &op) && op.Op == "remote error" // an alert: the other end ends it
	switch {
	case err == nil || !told && !strings.Contains(format, "handshake error"):
		return false
	case errors.Is(err, certs.ErrRefused):
		return true // logged and counted there
	case told:
		l.tls.warn(l.log, "another member refuses this one's certificate; its log says why", "err", op.Err)
	case op != nil:
		l.tls.warn(l.log, "a TLS handshake with another member came to nothing; does it speak TLS?", "err", op.Err)
	default:
		l.tls.warn(l.log, "a TLS handshake with another member came to nothing; does it speak TLS?", "err", err)
	}
	return true
}

func (t *tlsTrouble) warn(log *slog.Logger, message, key string, err error) {
	what := message + err.Error()
	t.mu.Lock()
	fresh := time.Since(t.said[what]) > sayTLSEvery
	if fresh {
		if len(t.said) > 256 {
			clear(t.said)
		}
		t.said[what] = time.Now()
	}
	t.mu.Unlock()
	if fresh {
		log.Warn(message, key, err)
	}
}
