package netcode

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ferris1/wind/netcode/wirepb"
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

func (l Limits) withDefaults() Limits {
	for _, at := range limitNames {
		if n := at.field(&l); *n == 0 {
			*n = at.value
		}
	}
	return l
}

// reaches reports whether n has reached limit; a negative limit is never reached.
func reaches(n, limit int) bool { return limit >= 0 && n >= limit }

// account counts what one address, or one identity, uses.
type account struct {
	links    int           // connections; only for addresses
	halfOpen [arrivals]int // those of links that are not admitted yet
	sessions int
	joins    bucket
	bytes    bucket // written to the log
}

// idle reports whether the account can be dropped without effect.
func (a *account) idle(now time.Time) bool {
	return a.links == 0 && a.sessions == 0 && a.joins.full(now) && a.bytes.full(now)
}

// accounts holds the accounts of all addresses, or of all identities.
type accounts[K comparable] struct {
	all                            map[K]*account
	joinsPerMinute, bytesPerSecond int
}

func newAccounts[K comparable](joinsPerMinute, bytesPerSecond int) accounts[K] {
	return accounts[K]{map[K]*account{}, joinsPerMinute, bytesPerSecond}
}

func (a *accounts[K]) of(key K, now time.Time) *account {
	x := a.all[key]
	if x == nil {
		x = &account{joins: newMinuteBucket(a.joinsPerMinute, now), bytes: newBucket(a.bytesPerSecond, now)}
		a.all[key] = x
	}
	return x
}

// forget drops the idle accounts.
func (a *accounts[K]) forget(now time.Time) {
	for key, x := range a.all {
		if x.idle(now) {
			delete(a.all, key)
		}
	}
}

// addressKey returns the key of addr's account: an IPv4 address, or an IPv6 /64.
func addressKey(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is6() {
		p, _ := addr.WithZone("").Prefix(64) // fails only beyond 128 bits
		return p.Addr()
	}
	return addr
}

// enlist counts a connection against its address, which is proven.
func (h *hub) enlist(l *link) {
	if l.account == nil {
		l.account = h.addresses.of(addressKey(l.addr.Addr()), h.now)
		l.account.links++
		l.account.halfOpen[l.came]++
	}
}

// delist stops counting a connection against its address.
func (h *hub) delist(l *link) {
	if l.account != nil {
		l.account.links--
		l.account = nil
	}
}

// crowded returns why the address of a new connection may not have another one, or
// "" if it may.
func (h *hub) crowded(addr netip.AddrPort, came arrival) string {
	a := h.addresses.all[addressKey(addr.Addr())]
	switch limits := &h.cfg.Limits; {
	case a == nil || came == cameUnproven:
		return ""
	case reaches(a.links, limits.ConnectionsPerAddress):
		return fmt.Sprintf("your address already has %d connections (limit connections-per-address)", a.links)
	case reaches(a.halfOpen[came], limits.HalfOpenPerAddress):
		return fmt.Sprintf("your address has %d connections that have not said who they are (limit half-open-per-address)", a.halfOpen[came])
	}
	return ""
}

// mayJoin reports whether the limits allow a new session for l. If so, it counts a
// join; otherwise it ends the connection.
func (h *hub) mayJoin(l *link) bool {
	limits, who := &h.cfg.Limits, h.identities.of(l.hello.Identity, h.now)
	switch {
	case reaches(l.account.sessions, limits.SessionsPerAddress):
		h.close(l, wirepb.Reason_REASON_ADDRESS_FULL, fmt.Sprintf("your address already has %d sessions (limit sessions-per-address)", l.account.sessions))
	case reaches(who.sessions, limits.SessionsPerIdentity):
		h.close(l, wirepb.Reason_REASON_IDENTITY_FULL, fmt.Sprintf("%q already has %d sessions (limit sessions-per-identity)", l.hello.Identity, who.sessions))
	case !l.account.joins.has(1, h.now):
		h.close(l, wirepb.Reason_REASON_TOO_MANY_JOINS, fmt.Sprintf("your address has begun %d sessions within a minute (limit joins-per-address)", limits.JoinsPerAddress))
	case !who.joins.take(1, h.now):
		h.close(l, wirepb.Reason_REASON_TOO_MANY_JOINS, fmt.Sprintf("%q has begun %d sessions within a minute (limit joins-per-identity)", l.hello.Identity, limits.JoinsPerIdentity))
	default:
		l.account.joins.take(1, h.now)
		return true
	}
	return false
}

// charge counts a session against its connection's address and its identity.
func (h *hub) charge(s *session, l *link, identity string) {
	if s.who == nil {
		s.who = h.identities.of(identity, h.now)
		s.who.sessions++
	}
	if l != nil && s.address != l.account {
		h.discharge(s)
		s.address = l.account
		s.address.sessions++
	}
}

// discharge stops counting a session against its address.
func (h *hub) discharge(s *session) {
	if s.address != nil {
		s.address.sessions--
		s.address = nil
	}
}

// affords charges n bytes of the log to a session's address and identity. It
// returns false, and charges nothing, when either is over its limit.
func (h *hub) affords(s *session, n int) bool {
	if s.address != nil && !s.address.bytes.has(n, h.now) || s.who != nil && !s.who.bytes.has(n, h.now) {
		s.throttled = true
		return false
	}
	if s.address != nil {
		s.address.bytes.take(n, h.now)
	}
	if s.who != nil {
		s.who.bytes.take(n, h.now)
	}
	return true
}

// accountsEvery is how often idle accounts are dropped.
const accountsEvery = 10 * time.Second

// forgetAccounts drops idle accounts, once per accountsEvery.
func (h *hub) forgetAccounts() {
	if h.now.Sub(h.forgot) >= accountsEvery {
		h.forgot = h.now
		h.addresses.forget(h.now)
		h.identities.forget(h.now)
	}
}

// strike stops counting a session against its accounts.
func (h *hub) strike(s *session) {
	h.discharge(s)
	if s.who != nil {
		s.who.sessions--
		s.who = nil
	}
}
