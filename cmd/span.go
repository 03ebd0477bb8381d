package cmd

import (
	"errors"
	"time"

	"github.com/spf13/pflag"
)

// span is the value of --for: how long a verb runs (0: until interrupted). It is never negative.
type span time.Duration

// spanFlag declares --for.
func spanFlag(set *pflag.FlagSet, s *time.Duration, usage string) {
	set.Var((*span)(s), "for", usage+" (default: until interrupted)")
}

// Set implements pflag.Value.
func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("it is negative; 0 means until interrupted")
	}
	if err == nil {
		*s = span(d)
	}
	return err
}

// String implements pflag.Value; pflag shows no default for "".
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type implements pflag.Value.
func (s *span) Type() string { return "duration" }
