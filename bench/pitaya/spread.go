package main

import (
	"fmt"
	"slices"
)

// spread is the smallest, the middle and the largest of one figure over the rounds. Of two in the middle, the smaller counts.
type spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of at least one figure.
func spreadOf(all []float64) spread {
	all = slices.Sorted(slices.Values(all))
	return spread{all[0], all[(len(all)-1)/2], all[len(all)-1]}
}

// text returns the median and, in parentheses, the smallest and the largest.
func (s spread) text(digits int) string {
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}
