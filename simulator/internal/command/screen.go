package command

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/live"
	"github.com/chatfleet/chatfleet/simulator/internal/view"
)

// screen is where a run shows itself: a panel in a terminal, or lines.
type screen struct {
	// say and warn print a line, whole, from any goroutine.
	say, warn func(format string, args ...any)
	// watch is nil where lines say how far a run is.
	watch func(live.Status)
	// close ends it, leave gives the terminal back at once.
	close func() error
	leave func()
}

func newScreen(cmd *cobra.Command, name string, plain bool) screen {
	out, isFile := cmd.OutOrStdout().(*os.File)
	if plain || !isFile || !term.IsTerminal(out.Fd()) || os.Getenv("TERM") == "dumb" {
		return screen{
			say: sayer(cmd.OutOrStdout()), warn: sayer(cmd.ErrOrStderr()),
			close: func() error { return nil }, leave: func() {},
		}
	}
	// Keys come only from a terminal; of another standard input nothing is taken.
	var keys io.Reader
	if in, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(in.Fd()) {
		keys = in
	}
	// As if the key had been the signal that it is elsewhere.
	v := view.Start(keys, out, name, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGINT) })
	return screen{say: v.Say, warn: v.Say, watch: v.Watch, close: v.Close, leave: v.Leave}
}

// sayer writes lines, whole ones, from any goroutine.
func sayer(w io.Writer) func(format string, args ...any) {
	var mu sync.Mutex
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, format+"\n", args...)
	}
}
