package cmd

import (
	"fmt"
	"strings"
)

// plural returns a count with its noun: 1 record, 2 records, 0 entities, 3 matches. Verbs print every count with it.
func plural[N int | int64 | uint64](n N, noun string) string {
	if n != 1 {
		switch stem, cut := strings.CutSuffix(noun, "y"); {
		case cut:
			noun = stem + "ies"
		case strings.HasSuffix(noun, "ch") && noun != "epoch":
			noun += "es"
		default:
			noun += "s"
		}
	}
	return fmt.Sprintf("%d %s", n, noun)
}
