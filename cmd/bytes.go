package cmd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag's value in bytes, written as "8GiB", "500MB" or a plain number; 0 if the flag was not given.
type byteSize struct {
	bytes int64
	least int64
}

var byteUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// String implements pflag.Value.
func (b *byteSize) String() string {
	if b.bytes == 0 {
		return ""
	}
	for i := 3; i >= 0; i-- {
		if u := byteUnits[i]; b.bytes >= int64(u.bytes) && b.bytes%int64(u.bytes) == 0 {
			return fmt.Sprintf("%d%s", b.bytes/int64(u.bytes), u.name)
		}
	}
	return strconv.FormatInt(b.bytes, 10)
}

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	number, unit := strings.TrimSpace(s), 1.0
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && n > 0, err == nil && n*unit > mostBytes && !math.IsInf(n, 0):
		return fmt.Errorf("%s is too large: at most 1024TiB", s)
	case err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0:
		return notASize{s}
	}
	if b.bytes = int64(n * unit); b.bytes < b.least {
		return fmt.Errorf("%s is less than %d MiB", s, b.least>>20)
	}
	return nil
}

// mostBytes is the largest size that a flag takes, far beyond any disk.
const mostBytes = 1024 << 40

// notASize says that a text is no size at all.
type notASize struct{ text string }

func (e notASize) Error() string {
	return fmt.Sprintf("%q is not a size: write it as 8GiB or 500MB", e.text)
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }
