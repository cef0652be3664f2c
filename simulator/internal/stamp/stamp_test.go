package stamp

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawStamp(t *rapid.T) Stamp {
	return Stamp{
		Run:        rapid.Uint64().Draw(t, "run"),
		Post:       rapid.Uint32Max(NoPost-1).Draw(t, "post"),
		Broadcast:  rapid.Bool().Draw(t, "broadcast"),
		IntendedNs: rapid.Int64().Draw(t, "intended"),
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawStamp(t)
		size := rapid.IntRange(HeaderBytes, 10_000).Draw(t, "size")
		data, err := want.Append([]byte("before"), size)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != len("before")+size {
			t.Fatalf("%d bytes were appended, want %d", len(data)-len("before"), size)
		}
		got, err := Parse(data[len("before"):])
		if err != nil || got != want {
			t.Fatalf("read %+v, %v; want %+v", got, err, want)
		}
		if PostOf(data[len("before"):], want.Run) != want.Post || PostOf(data[len("before"):], want.Run+1) != NoPost {
			t.Fatal("PostOf does not tell this run's post from another run's")
		}
	})
}

func TestNoByteCanChangeUnseen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := drawStamp(t).Append(nil, rapid.IntRange(HeaderBytes, 5000).Draw(t, "size"))
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[at] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		if s, err := Parse(data); err == nil {
			t.Fatalf("byte %d was changed and the stamp reads as %+v", at, s)
		}
	})
}

func TestCutAndLengthenedStampsAreDamaged(t *testing.T) {
	data, err := Stamp{Run: 7, Post: 1}.Append(nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, changed := range [][]byte{data[:99], data[:HeaderBytes], append(data[:100:100], padding[68])} {
		if _, err := Parse(changed); err != ErrDamaged {
			t.Errorf("%d bytes of 100: %v, want ErrDamaged", len(changed), err)
		}
	}
	for _, strange := range [][]byte{nil, []byte("hello"), make([]byte, 64)} {
		if _, err := Parse(strange); err != ErrNoStamp {
			t.Errorf("%q: %v, want ErrNoStamp", strange, err)
		}
	}
}

func TestImpossibleStampsAreRefused(t *testing.T) {
	if _, err := (Stamp{}).Append(nil, HeaderBytes-1); err == nil {
		t.Error("a stamp below its header's size was written")
	}
	if _, err := (Stamp{Post: NoPost}).Append(nil, HeaderBytes); err == nil {
		t.Error("a stamp without a post number was written")
	}
}

func TestNowIsTheKernelsClock(t *testing.T) {
	best := int64(time.Hour)
	for range 100 {
		before, now, after := kernelMonotonic(), Now(), kernelMonotonic()
		switch {
		case now < before:
			best = min(best, before-now)
		case now > after:
			best = min(best, now-after)
		default:
			return
		}
	}
	if best > int64(10*time.Microsecond) {
		t.Errorf("Now is at best %v away from CLOCK_MONOTONIC", time.Duration(best))
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	data, _ := Stamp{Run: 7, Post: 1}.Append(nil, 1000)
	if n := testing.AllocsPerRun(100, func() { PostOf(data, 7) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	data, _ := Stamp{Run: 7, Post: 1}.Append(nil, 200)
	for b.Loop() {
		PostOf(data, 7)
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}
