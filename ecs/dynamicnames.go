package ecs

import (
	"fmt"
	"strings"
)

// Nearest returns the element of names that a misspelled name most likely meant, or "" if none is near enough. At most
// a third of the name's letters may differ, ignoring case and underscores. On a tie the first in the list wins.
func Nearest(name string, names []string) string {
	const longest = 128
	x := plainName(name)
	if len(x) > longest {
		return ""
	}
	best, least := "", max(len(x)/3, 1)+1
	for _, n := range names {
		y := plainName(n)
		if len(y) > longest || n == name {
			continue
		}
		if d := distance(x, y); d < least {
			best, least = n, d
		}
	}
	return best
}

// meant returns the suggestion that ends an error about an unknown name.
func meant(name string, names []string) string {
	if n := Nearest(name, names); n != "" {
		return fmt.Sprintf(" (did you mean %s?)", n)
	}
	return ""
}

func plainName(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }

// distance returns how many bytes to change, add, remove or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
