// Package helper is not a simulation package: impure code in it matters where a system calls it.
package helper

import (
	"os"
	"sync"
	"time"
)

var (
	Limit = 10 // want Limit:`mutable`
	Fixed []int
)

func SetLimit(n int) { Limit = n } // want SetLimit:`impure: the package variable Limit`

func Pure(a, b int) int { return a + b }

func Stamp() int64 { return time.Now().UnixNano() } // want Stamp:`impure: time.Now reads or waits for wall time at helper.go:19`

func Deep() int64 { return middle() } // want Deep:`impure: through middle: through Stamp: time.Now`

func middle() int64 { return Stamp() }

type Source interface{ Value() int64 } // want Value:`impure: through file.Value: os.Getpid is I/O`

type file struct{}

func (file) Value() int64 { os.Getpid(); return 1 } // want Value:`impure: os.Getpid is I/O`

func ByInterface(s Source) int64 { return s.Value() } // want ByInterface:`impure: through file.Value: os.Getpid`

func Excused() int64 {
	return time.Now().Unix() //windvet:allow only shown to the operator
}

func Scale(a, b float64) float64 { return a * b } // want Scale:`impure: this product may be fused`

// NewSource hides which Source it makes.
func NewSource() Source { return file{} }

// File is a Source, which the interface's package does not know.
type File struct{ n int }

func (*File) Read() int64 { return time.Now().Unix() } // want Read:`impure: time.Now`

// Reader is pure here.
type Reader interface{ Read() int64 } // want Read:`impure: through File.Read: time.Now`

// Use calls its argument.
func Use(r Reader) int64 { return r.Read() } // want Use:`impure: through File.Read: time.Now`

// Shape is an interface without implementations here.
type Shape interface{ Area() int64 }

// Total calls its argument.
func Total(s Shape) int64 { return s.Area() }

// Bump changes what its argument refers to.
func Bump(n *int) { *n++ } // want Bump:`mutates 2`

// Peek does not.
func Peek(n *int) int { return *n }

// Counter has state.
type Counter struct{ n int }

func (c *Counter) Add() { c.n++ } // want Add:`mutates 1`

func (c *Counter) Get() int { return c.n }

var once sync.Pool

func Pooled() any { return once.Get() } // want Pooled:`impure: sync.Pool.Get is for concurrent code`
