// Package systems is simulation by its path.
package systems

import "os" // want `a simulation package imports os, which is I/O`

func helper(m map[int]int) {
	os.Exit(1)
	for k := range m { // want `ranging over a map`
		os.Exit(k)
	}
}
