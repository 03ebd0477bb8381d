package netcode

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ferris1/wind/netcode/wirepb"
)

// Limits bound what one address and one identity may take, so that nobody takes
// what others need. Of each field 0 is the default and a negative value no bound.
// An address is one of IPv4, or a /64 of IPv6: the players behind one NAT share
// one. An identity is what a Hello says, or its ticket.
type Limits struct {
	// ConnectionsPerAddress bounds connections of all kinds, RPC's among them. 1,024.
	ConnectionsPerAddress int
	// HalfOpenPerAddress bounds connections that are not let in yet, over TCP
	// and over UDP apart. 128.
	HalfOpenPerAddress int
	// SessionsPerAddress and SessionsPerIdentity bound sessions of the world,
	// parked ones included. 256 and 32.
	SessionsPerAddress, SessionsPerIdentity int
	// JoinsPerAddress and JoinsPerIdentity bound new sessions per minute, and
	// as many at once. Resumed ones do not count. 600 and 60.
	JoinsPerAddress, JoinsPerIdentity int
	// LogBytesPerAddress and LogBytesPerIdentity bound what goes into the log
	// per second, with bursts of twice as much: beyond it commands wait and
	// inputs are left out. 256 KiB and 32 KiB.
	LogBytesPerAddress, LogBytesPerIdentity int
}

// limitNames are the names that operators use.
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

// Set sets the limit with an operator's name, such as sessions-per-address.
func (l *Limits) Set(name string, n int) error {
	for _, at := range limitNames {
		if at.name == name {
			*at.field(l) = n
			return nil
		}
	}
	return fmt.Errorf("there is no limit %q: they are %v", name, LimitNames())
}

// LimitNames lists the names that Set takes, each with its default: name=n.
func LimitNames() []string {
	var all []string
	for _, at := range limitNames {
		all = append(all, fmt.Sprintf("%s=%d", at.name, at.value))
	}
	return all
}

// DefaultLimit is the default of the limit with an operator's name, 0 for an
// unknown one.
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

// reaches tells whether n has reached a limit.
func reaches(n, limit int) bool { return limit >= 0 && n >= limit }

// account is what one address, or one identity, has taken.
type account struct {
	links    int           // connections; of addresses alone
	halfOpen [arrivals]int // of these
	sessions int
	joins    bucket
	bytes    bucket // of the log
}

// idle tells whether forgetting the account changes nothing.
func (a *account) idle(now time.Time) bool {
	return a.links == 0 && a.sessions == 0 && a.joins.full(now) && a.bytes.full(now)
}

// accounts are those of all addresses, or of all identities.
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

// forget drops the idle ones.
func (a *accounts[K]) forget(now time.Time) {
	for key, x := range a.all {
		if x.idle(now) {
			delete(a.all, key)
		}
	}
}

// addressKey is what shares an account with addr.
func addressKey(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is6() {
		p, _ := addr.WithZone("").Prefix(64) // 64 bits are not too many
		return p.Addr()
	}
	return addr
}

// enlist counts a connection whose address is proven to that address.
func (h *hub) enlist(l *link) {
	if l.account == nil {
		l.account = h.addresses.of(addressKey(l.addr.Addr()), h.now)
		l.account.links++
		l.account.halfOpen[l.came]++
	}
}

// delist ends that.
func (h *hub) delist(l *link) {
	if l.account != nil {
		l.account.links--
		l.account = nil
	}
}

// crowded says why the address of a new connection has too many of them.
func (h *hub) crowded(addr netip.AddrPort, came arrival) string {
	a := h.addresses.all[addressKey(addr.Addr())]
	switch limits := &h.cfg.Limits; {
	case a == nil || came == cameUnproven:
		return ""
	case reaches(a.links, limits.ConnectionsPerAddress):
		return fmt.Sprintf("your address has its %d connections (limit connections-per-address)", a.links)
	case reaches(a.halfOpen[came], limits.HalfOpenPerAddress):
		return fmt.Sprintf("your address has %d connections that have not said who they are (limit half-open-per-address)", a.halfOpen[came])
	}
	return ""
}

// mayJoin tells whether a new session of l is within the limits, and counts it
// as a join if so; else it ends the connection.
func (h *hub) mayJoin(l *link) bool {
	limits, who := &h.cfg.Limits, h.identities.of(l.hello.Identity, h.now)
	switch {
	case reaches(l.account.sessions, limits.SessionsPerAddress):
		h.close(l, wirepb.Reason_REASON_ADDRESS_FULL, fmt.Sprintf("your address has its %d sessions (limit sessions-per-address)", l.account.sessions))
	case reaches(who.sessions, limits.SessionsPerIdentity):
		h.close(l, wirepb.Reason_REASON_IDENTITY_FULL, fmt.Sprintf("%q has its %d sessions (limit sessions-per-identity)", l.hello.Identity, who.sessions))
	case !l.account.joins.has(1, h.now):
		h.close(l, wirepb.Reason_REASON_TOO_MANY_JOINS, fmt.Sprintf("your address has begun %d sessions in a minute (limit joins-per-address)", limits.JoinsPerAddress))
	case !who.joins.take(1, h.now):
		h.close(l, wirepb.Reason_REASON_TOO_MANY_JOINS, fmt.Sprintf("%q has begun %d sessions in a minute (limit joins-per-identity)", l.hello.Identity, limits.JoinsPerIdentity))
	default:
		l.account.joins.take(1, h.now)
		return true
	}
	return false
}

// charge counts a session to the address of its connection and to its identity.
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

// discharge ends a session's counting to an address.
func (h *hub) discharge(s *session) {
	if s.address != nil {
		s.address.sessions--
		s.address = nil
	}
}

// affords takes n bytes of the log from what a session's address and identity
// may write.
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

// accountsEvery is how often idle accounts are looked for.
const accountsEvery = 10 * time.Second

// forgetAccounts drops idle accounts once in a while.
func (h *hub) forgetAccounts() {
	if h.now.Sub(h.forgot) >= accountsEvery {
		h.forgot = h.now
		h.addresses.forget(h.now)
		h.identities.forget(h.now)
	}
}

// strike takes a session off its accounts.
func (h *hub) strike(s *session) {
	h.discharge(s)
	if s.who != nil {
		s.who.sessions--
		s.who = nil
	}
}
