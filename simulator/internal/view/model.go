package view

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/chatfleet/chatfleet/simulator/internal/live"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
)

const (
	usualWidth = 80
	maxWidth   = 110
	// One mark of the deliveries' line is of a second.
	ratePer = time.Second
	maxRate = 40

	bold, faint, normal = "\x1b[1m", "\x1b[2m", "\x1b[0m"
)

// model is what is shown. It is changed by messages alone.
type model struct {
	name      string
	interrupt func()
	width     int
	asked     bool // for the end

	now live.Status
	// Deliveries a second, the newest last, and the status that the last is up to.
	rates []float64
	rated live.Status
}

func (m model) Init() tea.Cmd { return nil }

func (m model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		m.width = min(max(message.Width, 20), maxWidth)
	case tea.KeyPressMsg:
		if key := message.String(); key == "ctrl+c" || key == "q" {
			m.asked = true
			return m, func() tea.Msg { m.interrupt(); return nil }
		}
	case live.Status:
		m.now = message
		m.rate()
	}
	return m, nil
}

// rate adds a mark for each second that is over.
func (m *model) rate() {
	took := m.now.Elapsed - m.rated.Elapsed
	if took < ratePer {
		return
	}
	m.rates = append(m.rates, max(float64(m.now.Delivered-m.rated.Delivered)/took.Seconds(), 0))
	m.rates = m.rates[max(len(m.rates)-maxRate, 0):]
	m.rated = m.now
}

func (m model) View() tea.View {
	s := m.now
	var b strings.Builder
	m.row(&b, bold, sides(m.name, fmt.Sprintf("%s · %s left", s.Phase, plain.Lasting(s.Left)), m.width))
	m.row(&b, "", bar(float64(s.Elapsed)/float64(max(s.Elapsed+s.Left, 1)), m.width))
	sessions := fmt.Sprintf("sessions    %s of %s signed in", plain.Count(s.SignedIn), plain.Count(s.Wanted))
	if s.Away > 0 {
		sessions += fmt.Sprintf(", %s on their way back", plain.Count(s.Away))
	}
	m.row(&b, "", sessions)
	posts := fmt.Sprintf("posts       %s of %s acknowledged", plain.Count(s.Acknowledged), plain.Count(s.Posts))
	if s.Failed > 0 {
		posts += fmt.Sprintf(", %s failed", plain.Count(s.Failed))
	}
	m.row(&b, "", posts)
	deliveries := "deliveries  " + plain.Count(s.Delivered)
	if n := len(m.rates); n > 0 {
		deliveries += fmt.Sprintf(", %s a second  %s", plain.Count(int64(m.rates[n-1])), marks(m.rates))
	}
	m.row(&b, "", deliveries)
	if s.Duplicate+s.Unordered > 0 {
		m.row(&b, bold, fmt.Sprintf("wrong       %s came twice, %s out of order", plain.Count(s.Duplicate), plain.Count(s.Unordered)))
	}
	hint := "q cuts the run short"
	if m.asked {
		hint = "being cut short; q again ends it at once"
	}
	m.row(&b, faint, hint)
	return tea.NewView(b.String())
}

// row writes a line that fits.
func (m model) row(b *strings.Builder, style, text string) {
	if runes := []rune(text); len(runes) > m.width {
		text = string(runes[:m.width-1]) + "…"
	}
	if style != "" {
		text = style + text + normal
	}
	b.WriteString(text)
	b.WriteByte('\n')
}

// sides puts two texts at the ends of a line.
func sides(left, right string, width int) string {
	return left + strings.Repeat(" ", max(width-len([]rune(left))-len([]rune(right)), 1)) + right
}

func bar(share float64, width int) string {
	done := int(min(max(share, 0), 1) * float64(width))
	return strings.Repeat("━", done) + strings.Repeat("╌", width-done)
}

// marks draws values against the largest of them.
func marks(values []float64) string {
	const steps = "▁▂▃▄▅▆▇█"
	top := 1.0
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	for _, v := range values {
		b.WriteRune([]rune(steps)[int(v/top*7)])
	}
	return b.String()
}
