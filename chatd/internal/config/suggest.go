package config

import "strings"

// didYouMean names the known word that is nearest, if one is near enough. Spellings are no difference: drain-timeout is
// drain.timeout.
func didYouMean(word string, known []string) string {
	plain := strings.NewReplacer("-", "", "_", "", ".", "", " ", "")
	simple := func(s string) string { return plain.Replace(strings.ToLower(s)) }
	word = simple(word)
	best, least := "", max(len(word)/3, 1)+1
	for _, k := range known {
		if d := distance(word, simple(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is the number of characters to insert, remove, replace or swap with their neighbour to get from a to b (optimal string
// alignment). It gives up on long words, which nobody mistypes.
func distance(a, b string) int {
	const long = 64
	if len(a) > long || len(b) > long {
		return long
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
