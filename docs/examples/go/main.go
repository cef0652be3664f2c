// Command go is an example: a client of one log of a fleet, written from docs/protocol.md alone, over a plain WebSocket. The
// sections that its comments name are of that page. It prints the log's events, one a line, each once and in order, posts the lines
// of its input, and goes on where its cursor file says:
//
//	TOKEN=… go run ./docs/examples/go LOG CURSOR_FILE http://localhost:8080 [more addresses of the fleet]
//
// A program that wants all of this done for it uses the package client.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 4 || os.Getenv("TOKEN") == "" {
		log.Fatal("usage: TOKEN=… go run ./docs/examples/go LOG CURSOR_FILE http://localhost:8080 [more addresses]")
	}
	lines := make(chan string)
	c := &client{token: os.Getenv("TOKEN"), cursorFile: os.Args[2], addresses: os.Args[3:], lines: lines, out: os.Stdout}
	if err := c.load(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	go readLines(ctx, os.Stdin, lines) // ends with the program: a read of standard input cannot be called off
	if err := c.run(ctx); ctx.Err() == nil {
		stop()
		log.Fatal(err)
	}
}

func readLines(ctx context.Context, from io.Reader, to chan<- string) {
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		select {
		case to <- scanner.Text():
		case <-ctx.Done():
			return
		}
	}
	if err := scanner.Err(); err != nil {
		log.Print("standard input: ", err)
	}
}

// errHere marks what went wrong on this side, which no other session would mend.
var errHere = errors.New("the client cannot go on")

// client is what outlives a session.
type client struct {
	token, cursorFile string
	addresses         []string
	lines             <-chan string
	out               io.Writer

	cursor cursor
	mine   *post // the post without an answer
	tries  int
}

// cursor says that the device has every event up to and including PTS. 64-bit numbers are strings in JSON.
type cursor struct {
	Log   string `json:"log"`
	Epoch uint32 `json:"epoch,omitempty"`
	PTS   uint64 `json:"pts,string,omitempty"`
}

func (c *client) load(logID string) error {
	c.cursor.Log = logID
	data, err := os.ReadFile(c.cursorFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c.cursor)
	}
	if err != nil {
		return fmt.Errorf("the cursor file %s: %w", c.cursorFile, err)
	}
	return nil
}

// keep makes the file say where the client is, after what it has done with the event. The file is replaced whole.
func (c *client) keep(at cursor) error {
	c.cursor = at
	data, err := json.Marshal(at)
	if err == nil {
		err = os.WriteFile(c.cursorFile+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(c.cursorFile+".new", c.cursorFile)
	}
	if err != nil {
		return fmt.Errorf("%w: keep the cursor: %w", errHere, err)
	}
	return nil
}

// handle is what the client does with an event: it prints it. A content that it does not know it prints too.
func (c *client) handle(e event) error {
	content, err := json.Marshal(e.content)
	if err == nil {
		_, err = fmt.Fprintf(c.out, "%d %s %s\n", e.PTS, e.Sender, content)
	}
	if err != nil {
		return fmt.Errorf("%w: print the event at %d: %w", errHere, e.PTS, err)
	}
	return nil
}

// run holds one session after the other, with the pauses of section 14, until the context ends or the server refuses for good.
func (c *client) run(ctx context.Context) error {
	failures := 0
	for at := rand.IntN(len(c.addresses)); ; at++ {
		began, err := c.session(ctx, c.addresses[at%len(c.addresses)])
		if !began.IsZero() && time.Since(began) > 10*time.Second {
			failures = 0
		}
		var refused *serverError
		if ctx.Err() != nil || errors.Is(err, errHere) || errors.As(err, &refused) && !refused.passes() {
			return err
		}
		wait := jitter(failures, time.Second)
		if refused != nil && refused.RetryAfterMS > 0 {
			wait = refused.hint()
		}
		failures++
		log.Printf("no session: %v; again in %v", err, wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// jitter is a time drawn evenly from 0 to first × 2ⁿ, or to 30 s if that is less.
func jitter(n int, first time.Duration) time.Duration {
	return rand.N(min(30*time.Second, first<<min(n, 10)))
}

// serverError is an Error of the fleet, or its wish that the client come back later.
type serverError struct {
	Code         string `json:"code"`
	Message      string `json:"message"`
	RetryAfterMS uint32 `json:"retryAfterMs"`
}

func (e *serverError) Error() string { return strings.TrimSpace(e.Code + " " + e.Message) }

func (e *serverError) hint() time.Duration {
	d := time.Duration(e.RetryAfterMS) * time.Millisecond
	return d + rand.N(d+1)
}

// passes says whether the same may succeed later: not for these codes of section 15. One that is not known counts as CODE_INTERNAL.
func (e *serverError) passes() bool {
	return !slices.Contains([]string{"CODE_INVALID", "CODE_UNAUTHENTICATED", "CODE_TOKEN_EXPIRED", "CODE_DENIED", "CODE_NOT_MEMBER",
		"CODE_NOT_FOUND", "CODE_TOO_LARGE", "CODE_TOO_OLD", "CODE_ID_REUSED", "CODE_UNSUPPORTED"}, e.Code)
}
