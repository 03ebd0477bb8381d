package systems

import (
	"testing"
	"time"
)

func TestMayUseAnything(t *testing.T) {
	_ = time.Now()
	for range map[int]int{} {
	}
}
