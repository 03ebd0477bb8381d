package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/netcode"
)

// limitsFlag collects --limit NAME=N.
type limitsFlag struct {
	limits netcode.Limits
	given  []string
}

// add declares the flag.
func (f *limitsFlag) add(set *pflag.FlagSet) {
	set.Var(f, "limit", "a limit on one address or one identity; -1 removes it; repeatable (defaults: "+
		strings.Join(netcode.LimitNames(), ", ")+")")
}

// Set implements pflag.Value.
func (f *limitsFlag) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		name, number, ok := strings.Cut(one, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < -1 || n == 0 || n > mostRate {
			return fmt.Errorf("%q is not NAME=N with N of 1 to %d, or -1 for no limit", one, mostRate)
		}
		if slices.ContainsFunc(f.given, func(other string) bool { return strings.HasPrefix(other, name+"=") }) {
			return fmt.Errorf("%q: %s is given twice: give one", one, name)
		}
		if err := f.limits.Set(name, n); err != nil {
			return err
		}
		f.given = append(f.given, one)
	}
	return nil
}

// String implements pflag.Value.
func (f *limitsFlag) String() string { return strings.Join(f.given, ",") }

// Type implements pflag.Value.
func (f *limitsFlag) Type() string { return "NAME=N" }

// makeRoom raises limits that were not given so that n clients of this process fit beside others of its address.
func makeRoom(l *netcode.Limits, n int) {
	const others = 256
	for name, field := range map[string]*int{"sessions-per-address": &l.SessionsPerAddress, "joins-per-address": &l.JoinsPerAddress, "connections-per-address": &l.ConnectionsPerAddress} {
		if *field == 0 && n+others > netcode.DefaultLimit(name) {
			*field = n + others
		}
	}
}
