package scenario

import (
	"math"
	"strings"
)

// suggest says which of the known words was probably meant, else which there are.
func suggest(word string, known []string) string {
	if near := didYouMean(word, known); near != "" {
		return near
	}
	return "; known are " + strings.Join(known, ", ")
}

// didYouMean names the known word that is nearest, if one is near enough.
func didYouMean(word string, known []string) string {
	best, least := "", max(len(word)/3, 1)+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is the number of characters to insert, remove, replace or swap with their neighbour to get from a to b (optimal
// string alignment). It gives up on long words, which nobody mistypes into a key.
func distance(a, b string) int {
	const long = 64
	if len(a) > long || len(b) > long {
		return math.MaxInt
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, row := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
