package engine

import "time"

// Opener is an engine that takes sockets on which nothing has been said yet, so that nothing else has to wait for the first words of each: in a rush of
// clients, what waits for them is most of what a sign-in costs.
type Opener interface {
	// Open takes over a connected TCP socket, and does with it what its Opening says. After Shutdown it closes the socket.
	Open(s Socket)
}

// Socket is such a socket, and who knows about it.
type Socket struct {
	// FD is its descriptor, which does not block.
	FD int
	// Opening decides what becomes of it, within so much time.
	Opening Opening
	Within  time.Duration
	// Left is called once the engine has closed the socket. It is not called for one that was released.
	Left func()
}

// Opening decides what becomes of a socket. The engine calls it from where it serves all others: it must not block.
type Opening interface {
	// Heard is shown all that the client has said so far, again each time that there is more. It must not keep or change it.
	Heard(said []byte) Opened
	// Released is given the socket back, with what the client has said, because Heard wanted that, or because the time is up: late.
	Released(fd int, said []byte, late bool)
}

// Opened is what becomes of a socket.
type Opened struct {
	Next Next
	// Of a Session: the Answer goes out first; what was said after the first Used bytes is the beginning of its messages.
	Answer   []byte
	Used     int
	Encoding Encoding
	Handler  Handler
}

// Next is what happens to a socket that is not a session yet.
type Next uint8

const (
	// Wait for more.
	Wait Next = iota
	// Begin a session.
	Begin
	// Release the socket: the engine has no more to do with it.
	Release
)
