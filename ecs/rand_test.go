package ecs

import (
	"math"
	"testing"
)

func TestRangeStaysBelowItsEnd(t *testing.T) {
	r := Rand{1}
	end := math.Nextafter(1, 2) // half of the values in between round up to it
	for range 1000 {
		if x := r.Range(1, end); x != 1 {
			t.Fatalf("Range(1, %v) = %v", end, x)
		}
		if x := r.Range(-3, 5); x < -3 || x >= 5 {
			t.Fatalf("Range(-3, 5) = %v", x)
		}
	}
	if x := r.Range(2, 2); x != 2 {
		t.Fatalf("Range(2, 2) = %v", x)
	}
}

func TestIntNIsEven(t *testing.T) {
	r := Rand{1}
	var counts [7]int
	for range 70000 {
		counts[r.IntN(7)]++
	}
	for i, n := range counts {
		if n < 9600 || n > 10400 { // four standard deviations
			t.Errorf("IntN(7) gave %d %d times of 70000", i, n)
		}
	}
}
