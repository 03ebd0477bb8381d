// Package helper is no simulation package: what is impure in it matters where a system calls it.
package helper

import (
	"os"
	"time"
)

var (
	Limit = 10 // want Limit:`mutable`
	Fixed []int
)

func SetLimit(n int) { Limit = n } // want SetLimit:`impure: the package variable Limit`

func Pure(a, b int) int { return a + b }

func Stamp() int64 { return time.Now().UnixNano() } // want Stamp:`impure: time.Now reads or waits for wall time at helper.go:18`

func Deep() int64 { return middle() } // want Deep:`impure: through middle: through Stamp: time.Now`

func middle() int64 { return Stamp() }

type Source interface{ Value() int64 }

type file struct{}

func (file) Value() int64 { os.Getpid(); return 1 } // want Value:`impure: os.Getpid is I/O`

func ByInterface(s Source) int64 { return s.Value() } // want ByInterface:`impure: through Value: os.Getpid`

func Excused() int64 {
	return time.Now().Unix() //windvet:allow only shown to the operator
}

func Scale(a, b float64) float64 { return a * b } // want Scale:`impure: this product may be fused`
