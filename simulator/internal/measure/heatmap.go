package measure

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"time"
)

const (
	// HeatRows is the number of latency rows of a HeatMap, the last of which holds what never arrived.
	HeatRows = heatOctaves*rowsPerOctave + 3

	// Rows begin at 64 µs; below it there is one row, above the last octave (134 s) one, and one for Never.
	heatLowest    = 6 // log2 of 64 µs
	heatOctaves   = 21
	rowsPerOctave = 4
)

// HeatMap counts latencies by when they began and how long they took: columns of equal width from the start of the
// run, rows of latency that grow by about a fifth (four an octave of microseconds). The moment is that of the intended
// post, so that a broadcast is one column and a fault stands at what it hit. The zero value has columns of
// DefaultWidth; a nil *HeatMap may be read (and is empty).
type HeatMap struct {
	width   time.Duration
	columns [][]int64 // nil where nothing was counted, else HeatRows long
}

// NewHeatMap returns an empty heat map with columns of the given width, DefaultWidth if it is not above 0.
func NewHeatMap(width time.Duration) *HeatMap { return &HeatMap{width: width} }

// Width returns the width of a column.
func (m *HeatMap) Width() time.Duration {
	if m == nil || m.width <= 0 {
		return DefaultWidth
	}
	return m.width
}

// Add counts n of a latency (or Never) that began at a moment, given as the time since the start of the run.
func (m *HeatMap) Add(at, latency time.Duration, n int64) {
	m.column(bucket(at, m.Width()))[heatRow(latency)] += n
}

// Merge adds everything that o counts. Heat maps with columns of different widths do not merge.
func (m *HeatMap) Merge(o *HeatMap) error {
	if o == nil || len(o.columns) == 0 {
		return nil
	}
	if m.Width() != o.Width() {
		return fmt.Errorf("merge heat maps: columns of %s and of %s", m.Width(), o.Width())
	}
	for i, from := range o.columns {
		if from == nil {
			continue
		}
		to := m.column(i)
		for row, n := range from {
			to[row] += n
		}
	}
	return nil
}

// Cell is one cell of a heat map that is not empty.
type Cell struct {
	Column, Row int
	Count       int64
}

// Cells returns the cells that are not empty, column by column.
func (m *HeatMap) Cells() []Cell {
	if m == nil {
		return nil
	}
	var cells []Cell
	for i, column := range m.columns {
		for row, n := range column {
			if n != 0 {
				cells = append(cells, Cell{i, row, n})
			}
		}
	}
	return cells
}

// HeatRowTop returns the latency at which a row ends (and which belongs to the next); Never for the last two: what took
// longer than two minutes, and what never arrived.
func HeatRowTop(row int) time.Duration {
	switch {
	case row <= 0:
		return time.Microsecond << heatLowest
	case row > heatOctaves*rowsPerOctave:
		return Never
	}
	octave, sub := row/rowsPerOctave, row%rowsPerOctave
	return time.Microsecond * time.Duration((rowsPerOctave+sub)<<(heatLowest+octave)/rowsPerOctave)
}

func (m *HeatMap) column(i int) []int64 {
	for len(m.columns) <= i {
		m.columns = append(m.columns, nil)
	}
	if m.columns[i] == nil {
		m.columns[i] = make([]int64, HeatRows)
	}
	return m.columns[i]
}

// heatRow avoids logarithms: it is on the path of every delivery.
func heatRow(latency time.Duration) int {
	if latency == Never {
		return HeatRows - 1
	}
	us := uint64(max(latency, 0) / time.Microsecond)
	if us < 1<<heatLowest {
		return 0
	}
	octave := bits.Len64(us) - 1
	if octave >= heatLowest+heatOctaves {
		return HeatRows - 2
	}
	sub := int(us>>(octave-2)) & (rowsPerOctave - 1)
	return 1 + (octave-heatLowest)*rowsPerOctave + sub
}

type heatMapJSON struct {
	WidthMs  float64    `json:"widthMs"`
	RowTopUs []int64    `json:"rowTopMicros"`
	Cells    [][3]int64 `json:"cells"`
}

// MarshalJSON writes the cells that are not empty as [column, row, count], and where the rows end, -1 for Never.
func (m *HeatMap) MarshalJSON() ([]byte, error) {
	out := heatMapJSON{WidthMs: widthToMs(m.Width()), Cells: [][3]int64{}}
	for row := range HeatRows {
		top := HeatRowTop(row)
		if top == Never {
			out.RowTopUs = append(out.RowTopUs, -1)
			continue
		}
		out.RowTopUs = append(out.RowTopUs, int64(top/time.Microsecond))
	}
	for _, c := range m.Cells() {
		out.Cells = append(out.Cells, [3]int64{int64(c.Column), int64(c.Row), c.Count})
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *HeatMap) UnmarshalJSON(data []byte) error {
	var in heatMapJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("decode heat map: %w", err)
	}
	width, err := widthFromMs(in.WidthMs)
	if err != nil {
		return fmt.Errorf("decode heat map: %w", err)
	}
	if len(in.RowTopUs) != HeatRows {
		return fmt.Errorf("decode heat map: %d rows, want %d", len(in.RowTopUs), HeatRows)
	}
	out := NewHeatMap(width)
	for _, c := range in.Cells {
		if c[0] < 0 || c[0] >= maxBuckets || c[1] < 0 || c[1] >= HeatRows || c[2] < 0 {
			return errors.New("decode heat map: a cell is outside of it")
		}
		out.column(int(c[0]))[c[1]] += c[2]
	}
	*m = *out
	return nil
}
