package planted_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a checker that is broken in one place.
type mutant struct {
	name, file, old, new string
	// tests of the file's package that should notice.
	tests string
}

const (
	bookTests    = "^(TestTheBookCountsEveryFaultOnce|TestAnotherHistory.*|TestALatePushFillsItsHoleOnce|TestAPushBelowTheStatedCursorIsADuplicate|TestOtherContentIsAMismatch|TestEveryMisbehaviourIsCounted)$"
	historyTests = "^(TestCompare|TestCompareFindsEveryChange|TestWrongAnswers|TestReadsToTheHead)$"
	verdictTests = "^(TestAVerdictCanFail|TestWorseIsNeverAPass|TestWhichVerdictWins)$"
)

var mutants = []mutant{
	{"duplicates are not counted", "swarm/book.go", "b.count.Duplicate++", "", bookTests},
	{"disorder is not counted", "swarm/book.go", "b.count.Unordered++", "", bookTests},
	{"a hole is filled twice", "swarm/book.go", "case pts == h.from:\n\t\t\th.from++", "case pts == h.from:", bookTests},
	{"contents are not summed", "swarm/book.go", "c.sum += digest(c.pts, what.post)", "c.sum += digest(c.pts, 0)", bookTests},
	{"what the server leaves out counts as delivered", "swarm/verify.go", "delivered -= int64(s.to - s.from + 1)", "", bookTests},
	{"nothing is expected after the last event that came", "swarm/verify.go",
		"head := t.Head()\n\tif c.base >= head {", "head := min(t.Head(), c.pts)\n\tif c.base >= head {", bookTests},
	{"another epoch is taken for the same", "swarm/verify.go", "if c.epoch != t.Epoch {", "if false {", bookTests},
	{"wrong content counts as delivered", "swarm/verify.go", "k.v.Delivered -= corrupt[i]", "", bookTests},
	{"sums are not compared", "swarm/verify.go", "if want != got {", "if false {", bookTests},
	{"a post in the log twice is no double", "swarm/verify.go", "k.v.Repeated += repeats", "", bookTests},
	{"missing acknowledged posts are passed over", "history/compare.go", "f.Missing++", "", historyTests},
	{"a post may be anywhere in its log", "history/compare.go", "f.Misplaced++", "", historyTests},
	{"doubled posts are passed over", "history/compare.go", "f.Doubled++", "", historyTests},
	{"holes in an answer are closed", "history/list.go", "e.GetPts() != want || ", "", historyTests},
	{"correctness does not decide", "verdict/judge.go", "return r.Correctness && r.Verdict == Fail", "return false", verdictTests},
	{"a loss is a matter of the generator's health", "verdict/judge.go", "{append(wrong, exits(m)...), Fail},\n\t\t{runDoubts(m), Inconclusive},",
		"{runDoubts(m), Inconclusive},\n\t\t{append(wrong, exits(m)...), Fail},", verdictTests},
}

// A checker that does not check proves nothing: each way to break it is noticed by its own tests. A mutant that survives is a test that is
// missing.
func TestBrokenCheckersAreNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a package for each way to break it")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			file, err := filepath.Abs(filepath.Join("..", m.file))
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%s has %q %d times, want once: the mutant is out of date", m.file, m.old, n)
			}
			dir := t.TempDir()
			broken := filepath.Join(dir, filepath.Base(file))
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: broken}})
			if err != nil {
				t.Fatal(err)
			}
			for path, text := range map[string]string{broken: strings.Replace(string(source), m.old, m.new, 1), filepath.Join(dir, "overlay.json"): string(overlay)} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.CommandContext(t.Context(), "go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-vet=off", "-count=1",
				"-run", m.tests, filepath.Dir(file), "-rapid.nofailfile", "-rapid.checks=300").CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("not noticed: %v\n%s", err, out)
			}
		})
	}
}
