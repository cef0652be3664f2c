// Package view shows a run in a terminal while it goes on: a panel that is drawn anew some times a second, with what there is to
// say above it, line by line, where it stays. Package command uses it where the standard output is a terminal; elsewhere a run
// says the same in plain lines.
package view

import (
	"errors"
	"fmt"
	"io"

	tea "charm.land/bubbletea/v2"

	"github.com/chatfleet/chatfleet/simulator/internal/live"
)

// View is a panel in a terminal. Its methods may be called from any goroutine.
type View struct {
	program *tea.Program
	over    chan struct{}
	err     error
}

// Start begins to show a run of that name. in is where keys come from, nil if they do not; interrupt is called for each key that
// asks for the end, since a terminal whose keys are read sends no signal for them.
func Start(in io.Reader, out io.Writer, name string, interrupt func()) *View {
	return start(in, out, model{name: name, interrupt: interrupt, width: usualWidth})
}

func start(in io.Reader, out io.Writer, m model, more ...tea.ProgramOption) *View {
	options := append([]tea.ProgramOption{tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler()}, more...)
	v := &View{program: tea.NewProgram(m, options...), over: make(chan struct{})}
	go func() {
		defer close(v.over)
		_, v.err = v.program.Run()
	}()
	return v
}

// Say prints a line above the panel.
func (v *View) Say(format string, args ...any) {
	v.program.Send(tea.Println(fmt.Sprintf(format, args...))())
}

// Watch shows where the run is.
func (v *View) Watch(s live.Status) { v.program.Send(s) }

// Close shows the last of it and gives the terminal back.
func (v *View) Close() error {
	v.program.Send(tea.QuitMsg{})
	<-v.over
	if v.err != nil && !errors.Is(v.err, tea.ErrProgramKilled) {
		return fmt.Errorf("show the run in the terminal: %w (--plain does without)", v.err)
	}
	return nil
}

// Leave gives the terminal back at once, for a program that ends.
func (v *View) Leave() {
	v.program.Kill()
	<-v.over
}
