package cmd

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ferris1/wind/persistence/jetstream"
)

// deltaLimit is the value of --deltas: off, an age, a size, or an age and a size.
type deltaLimit struct {
	off   bool
	age   time.Duration
	bytes int64
}

// Set implements pflag.Value.
func (d *deltaLimit) Set(text string) error {
	*d = deltaLimit{off: text == "off"}
	if d.off {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		age, err := time.ParseDuration(part)
		size := byteSize{least: jetstream.MinLogBytes}
		switch {
		case part == "off":
			return fmt.Errorf("%q: off cannot be combined with a limit", text)
		case err == nil && d.age != 0:
			return fmt.Errorf("%q gives two ages: give one", text)
		case err == nil && age < time.Minute:
			return fmt.Errorf("%s is too short: the least age is 1m", part)
		case err == nil:
			d.age = age
		case strings.Trim(part, "0123456789.") == "":
			return fmt.Errorf("%q has no unit: write off, an age such as 24h, or a size such as 4GiB", part)
		case tooLong(part):
			return fmt.Errorf("%s is too large: the longest age is %dh", part, int64(math.MaxInt64/time.Hour))
		default:
			sizeErr := size.Set(part)
			if errors.As(sizeErr, new(notASize)) {
				return fmt.Errorf("%q is not off, an age such as 24h, or a size such as 4GiB", part)
			}
			if sizeErr != nil {
				return sizeErr
			}
			if d.bytes != 0 {
				return fmt.Errorf("%q gives two sizes: give one", text)
			}
			d.bytes = size.bytes
		}
	}
	return nil
}

// String implements pflag.Value; pflag shows no default for "".
func (d *deltaLimit) String() string {
	var parts []string
	if d.off {
		parts = append(parts, "off")
	}
	if d.age > 0 {
		parts = append(parts, d.age.String())
	}
	if d.bytes > 0 {
		parts = append(parts, (&byteSize{bytes: d.bytes}).String())
	}
	return strings.Join(parts, ",")
}

// Type implements pflag.Value.
func (d *deltaLimit) Type() string { return "limit" }
