package view

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/chatfleet/chatfleet/simulator/internal/live"
)

// after sends messages to a model and returns it.
func after(m model, messages ...tea.Msg) model {
	for _, message := range messages {
		next, _ := m.Update(message)
		m = next.(model)
	}
	return m
}

func storm(elapsed time.Duration, delivered int64) live.Status {
	return live.Status{
		Phase: "measure", Elapsed: elapsed, Left: 150 * time.Second, Wanted: 20_000, SignedIn: 475, Away: 19_525,
		Posts: 1800, Acknowledged: 1200, Delivered: delivered,
	}
}

func TestPanel(t *testing.T) {
	m := after(model{name: "reconnect-storm", width: usualWidth}, storm(time.Second, 0), storm(2*time.Second, 4000), storm(3*time.Second, 5000))
	got := m.View().Content
	for _, want := range []string{
		"reconnect-storm", "measure · 2 min 30 s left", "475 of 20,000 signed in, 19,525 on their way back", "1,200 of 1,800 acknowledged\n",
		"5,000, 1,000 a second  ▁█▂", "━╌", "q cuts the run short",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "wrong") || strings.Contains(got, "failed") {
		t.Errorf("nothing is wrong, and it says so:\n%s", got)
	}
	wrong := storm(4*time.Second, 6000)
	wrong.Duplicate, wrong.Failed = 2, 7
	if got := after(m, wrong).View().Content; !strings.Contains(got, "2 came twice, 0 out of order") || !strings.Contains(got, ", 7 failed") {
		t.Errorf("got\n%s", got)
	}
}

// No line is wider than the terminal, which would tear the panel.
func TestPanelFits(t *testing.T) {
	for _, width := range []int{1, 20, 33, 80, 500} {
		m := after(model{name: strings.Repeat("long-", 12), width: usualWidth}, tea.WindowSizeMsg{Width: width}, storm(time.Hour, 1<<40))
		for i := range 100 {
			m = after(m, storm(time.Hour+time.Duration(i)*time.Second, 1<<40+int64(i)))
		}
		for _, row := range strings.Split(m.View().Content, "\n") {
			row = strings.NewReplacer(bold, "", faint, "", normal, "").Replace(row)
			if n := len([]rune(row)); n > max(min(width, maxWidth), 20) {
				t.Errorf("%d wide in %d: %q", n, width, row)
			}
		}
	}
}

// The keys that ask for the end do so, each time; others do nothing.
func TestKeys(t *testing.T) {
	asked := 0
	m := model{interrupt: func() { asked++ }, width: usualWidth}
	for _, key := range []tea.KeyPressMsg{{Code: 'x', Text: "x"}, {Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		next, cmd := m.Update(key)
		if m = next.(model); cmd != nil {
			cmd()
		}
	}
	if asked != 2 || !strings.Contains(m.View().Content, "again") {
		t.Errorf("asked %d times:\n%s", asked, m.View().Content)
	}
}

// What was said stays above the panel, and the terminal is given back.
func TestSaidLinesStay(t *testing.T) {
	var out screen
	v := start(nil, &out, model{name: "small", width: usualWidth}, tea.WithWindowSize(80, 24))
	v.Watch(storm(time.Second, 0))
	v.Say("fault    %s", "all cut")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "fault    all cut") || !strings.Contains(got, "20,000") {
		t.Errorf("got %q", got)
	}
	v.Say("nobody listens any more") // It must not hang.
	v.Watch(live.Status{})
}

type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
