package netcode

import (
	"fmt"
	"strings"
)

// Limits bound what one address and one identity may use, so that one client
// cannot use up what others need. In each field 0 means the default and a negative
// value no limit. An address is an IPv4 address or an IPv6 /64; players behind one
// NAT share it. The identity comes from the Hello, or from its ticket.
type Limits struct {
	// ConnectionsPerAddress bounds connections of all kinds, including RPC. Default 1,024.
	ConnectionsPerAddress int
	// HalfOpenPerAddress bounds connections that are not admitted yet, for TCP
	// and for UDP separately. Default 128.
	HalfOpenPerAddress int
	// SessionsPerAddress and SessionsPerIdentity bound the world's sessions,
	// parked ones included. Default 256 and 32.
	SessionsPerAddress, SessionsPerIdentity int
	// JoinsPerAddress and JoinsPerIdentity bound new sessions per minute; a
	// burst may use a whole minute's. Resumed sessions do not count. Default 600
	// and 60.
	JoinsPerAddress, JoinsPerIdentity int
	// LogBytesPerAddress and LogBytesPerIdentity bound the bytes written to the
	// log per second; bursts may be twice as large. Beyond the limit commands
	// wait and inputs are dropped. Default 256 KiB and 32 KiB.
	LogBytesPerAddress, LogBytesPerIdentity int
}

// limitNames lists the limits under the names that operators use.
var limitNames = []struct {
	name  string
	value int // the default
	field func(*Limits) *int
}{
	{"connections-per-address", 1024, func(l *Limits) *int { return &l.ConnectionsPerAddress }},
	{"half-open-per-address", 128, func(l *Limits) *int { return &l.HalfOpenPerAddress }},
	{"sessions-per-address", 256, func(l *Limits) *int { return &l.SessionsPerAddress }},
	{"sessions-per-identity", 32, func(l *Limits) *int { return &l.SessionsPerIdentity }},
	{"joins-per-address", 600, func(l *Limits) *int { return &l.JoinsPerAddress }},
	{"joins-per-identity", 60, func(l *Limits) *int { return &l.JoinsPerIdentity }},
	{"log-bytes-per-address", 256 << 10, func(l *Limits) *int { return &l.LogBytesPerAddress }},
	{"log-bytes-per-identity", 32 << 10, func(l *Limits) *int { return &l.LogBytesPerIdentity }},
}

// Set sets a limit by its operator name, such as sessions-per-address. An unknown
// name is an error.
func (l *Limits) Set(name string, n int) error {
	for _, at := range limitNames {
		if at.name == name {
			*at.field(l) = n
			return nil
		}
	}
	return fmt.Errorf("there is no limit %q: the limits, with their defaults, are %s", name, strings.Join(LimitNames(), ", "))
}

// LimitNames lists the names that Set takes, each with its default: name=n.
func LimitNames() []string {
	var all []string
	for _, at := range limitNames {
		all = append(all, fmt.Sprintf("%s=%d", at.name, at.value))
	}
	return all
}

// DefaultLimit returns the default of a limit by its operator name, 0 for an
// unknown name.
func DefaultLimit(name string) int {
	for _, at := range limitNames {
		if at.name == name {
			return at.value
		}
	}
	return 0
}

// WithDefaults returns l with every 0 replaced by its default.
func (l Limits) WithDefaults() Limits {
	for _, at := range limitNames {
		if n := at.field(&l); *n == 0 {
			*n = at.value
		}
	}
	return l
}

// Reaches reports whether n has reached a limit; a negative one is never reached.
func Reaches(n, limit int) bool { return limit >= 0 && n >= limit }
