package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// machine says what this one is.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), model, kernel())
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(text))
}

// medians of single posts and of bursts; of one pass, or of all if that is below 0.
func (r *Result) medians(pass int) (one, burst Round) {
	of := func(posts func(int) bool) (m Round) {
		var some []Round
		for _, x := range r.Rounds {
			if posts(x.Posts) && (pass < 0 || x.Pass == pass) {
				some = append(some, x)
			}
		}
		if len(some) == 0 {
			return m
		}
		middle := func(f func(Round) float64) float64 {
			var all []float64
			for _, x := range some {
				all = append(all, f(x))
			}
			return median(all)
		}
		m.Posts = some[0].Posts
		m.P50, m.P99, m.Last = middle(func(x Round) float64 { return x.P50 }), middle(func(x Round) float64 { return x.P99 }), middle(func(x Round) float64 { return x.Last })
		m.CPU, m.CPUAll = middle(func(x Round) float64 { return x.CPU }), middle(func(x Round) float64 { return x.CPUAll })
		for _, x := range some {
			m.Lost, m.Doubled, m.Disordered = m.Lost+x.Lost, m.Doubled+x.Doubled, m.Disordered+x.Disordered
		}
		return m
	}
	return of(func(n int) bool { return n == 1 }), of(func(n int) bool { return n > 1 })
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// perSecond is how many deliveries a second a burst came to.
func (r Round) perSecond(sessions int) float64 {
	if r.Last == 0 {
		return 0
	}
	return float64(sessions*r.Posts) / (r.Last / 1e3)
}

var columns = []string{"target", "CPU µs a delivery", "of it user + system", "× bare-1", "all its processes", "p50 ms", "p99 ms", "last ms", "× bare-2", "burst, a second", "× bare-batch", "burst, CPU µs",
	"bytes a session", "lost", "doubled", "disordered"}

// cells of the table, a row for each target.
func (r *Results) cells() (rows [][]string) {
	base := func(target string, of func(one, burst Round) float64) float64 {
		for _, x := range r.Results {
			if x.Target == target {
				return of(x.medians(-1))
			}
		}
		return 0
	}
	cpu := base("bare-1", func(one, _ Round) float64 { return one.CPU })
	last := base("bare-2", func(one, _ Round) float64 { return one.Last })
	rate := base("bare-batch", func(_, burst Round) float64 { return burst.perSecond(r.Sessions) })
	times := func(x, base float64) string {
		if base == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f", x/base)
	}
	for _, x := range r.Results {
		one, burst := x.medians(-1)
		rows = append(rows, []string{
			x.Target, fmt.Sprintf("%.1f", one.CPU), fmt.Sprintf("%.1f + %.1f", one.CPU*(1-x.SystemShare), one.CPU*x.SystemShare), times(one.CPU, cpu), fmt.Sprintf("%.1f", one.CPUAll),
			fmt.Sprintf("%.0f", one.P50), fmt.Sprintf("%.0f", one.P99), fmt.Sprintf("%.0f", one.Last), times(one.Last, last),
			fmt.Sprintf("%.0f k", burst.perSecond(r.Sessions)/1e3), times(burst.perSecond(r.Sessions), rate), fmt.Sprintf("%.2f", burst.CPU),
			fmt.Sprintf("%.0f", median(x.BytesEach)),
			fmt.Sprint(one.Lost + burst.Lost), fmt.Sprint(one.Doubled + burst.Doubled), fmt.Sprint(one.Disordered + burst.Disordered),
		})
	}
	return rows
}

// write prints the table, and keeps it, all rounds and a picture in a directory.
func (r *Results) write(dir string) error {
	var shown, page bytes.Buffer
	tabs := tabwriter.NewWriter(&shown, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tabs, strings.Join(columns, "\t"))
	line := func(cells []string) { fmt.Fprintf(&page, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns)
	line(slices.Repeat([]string{"---"}, len(columns)))
	for _, row := range r.cells() {
		fmt.Fprintln(tabs, strings.Join(row, "\t"))
		line(row)
	}
	_ = tabs.Flush() // to memory
	fmt.Fprintln(&page)
	for _, x := range r.Results {
		if k := slices.IndexFunc(kinds, func(k kind) bool { return k.name == x.Target }); k >= 0 {
			note := fmt.Sprintf("%s: %s", x.Target, kinds[k].says)
			fmt.Fprintln(&shown, note)
			fmt.Fprintln(&page, "- "+note)
		}
	}
	fmt.Printf("\n%s\n%d sessions, posts of %d bytes, bursts of %d; medians; %s\n", shown.String(), r.Sessions, r.Size, r.Burst, r.Machine)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep the results: %w", err)
	}
	for name, content := range map[string][]byte{"bench.json": append(text, '\n'), "table.md": page.Bytes(), "bench.svg": []byte(r.picture())} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("keep the results: %w", err)
		}
	}
	fmt.Println("kept in", dir)
	return nil
}
