package session

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/rate"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Accounts count what each address and each identity uses, in all shards that share
// them. They are safe for concurrent use.
type Accounts struct {
	limits     netcode.Limits
	mu         sync.Mutex
	addresses  accounts[netip.Addr]
	identities accounts[string]
	forgot     time.Time // when idle accounts were last dropped
}

// NewAccounts returns accounts that hold everybody to the limits.
func NewAccounts(l netcode.Limits) *Accounts {
	l = l.WithDefaults()
	return &Accounts{
		limits:     l,
		addresses:  accounts[netip.Addr]{map[netip.Addr]*account{}, l.JoinsPerAddress, l.LogBytesPerAddress},
		identities: accounts[string]{map[string]*account{}, l.JoinsPerIdentity, l.LogBytesPerIdentity},
	}
}

// account counts what one address, or one identity, uses. The lock of its Accounts
// guards it.
type account struct {
	users    int // connections and sessions that refer to it
	sessions int
	joins    rate.Bucket
	bytes    rate.Bucket // written to the log
}

// idle reports whether the account can be dropped without effect.
func (a *account) idle(now time.Time) bool {
	return a.users == 0 && a.joins.Full(now) && a.bytes.Full(now)
}

// accounts holds the accounts of all addresses, or of all identities.
type accounts[K comparable] struct {
	all                            map[K]*account
	joinsPerMinute, bytesPerSecond int
}

// use returns an account and counts one more user of it.
func (a *accounts[K]) use(key K, now time.Time) *account {
	x := a.all[key]
	if x == nil {
		x = &account{joins: rate.PerMinute(a.joinsPerMinute, now), bytes: rate.PerSecond(a.bytesPerSecond, now)}
		a.all[key] = x
	}
	x.users++
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

// accountsEvery is how often idle accounts are dropped.
const accountsEvery = 10 * time.Second

// forget drops idle accounts, once per accountsEvery.
func (a *Accounts) forget(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.forgot) >= accountsEvery {
		a.forgot = now
		a.addresses.forget(now)
		a.identities.forget(now)
	}
}

// address returns the account of a connection's address, in use until drop.
func (a *Accounts) address(addr netip.AddrPort, now time.Time) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addresses.use(netcode.AddressKey(addr.Addr()), now)
}

// drop ends the use of an account. nil is no account.
func (a *Accounts) drop(x *account) {
	if x != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		x.users--
	}
}

// join counts a new session's join, unless the limits of its address or of its
// identity refuse it: then it returns why.
func (a *Accounts) join(address *account, identity string, now time.Time) (reason wirepb.Reason, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.identities.use(identity, now)
	defer func() { who.users-- }()
	if reason, why = a.refuses(address, who, identity, nil, now); why == "" {
		who.joins.Take(1, now)
		address.joins.Take(1, now)
	}
	return reason, why
}

// mayJoin returns why the limits refuse a new session that takes the place of another, or "".
func (a *Accounts) mayJoin(address *account, identity string, replaces *session, now time.Time) (reason wirepb.Reason, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.identities.use(identity, now)
	defer func() { who.users-- }()
	return a.refuses(address, who, identity, replaces, now)
}

// refuses returns why the limits refuse a new session, or "". replaces, unless nil, leaves before it joins.
func (a *Accounts) refuses(address, who *account, identity string, replaces *session, now time.Time) (reason wirepb.Reason, why string) {
	limits, here, theirs := &a.limits, address.sessions, who.sessions
	if replaces != nil && replaces.address == address {
		here--
	}
	if replaces != nil && replaces.who == who {
		theirs--
	}
	switch {
	case netcode.Reaches(here, limits.SessionsPerAddress):
		return wirepb.Reason_REASON_ADDRESS_FULL, fmt.Sprintf("your address already has %d sessions (limit sessions-per-address)", here)
	case netcode.Reaches(theirs, limits.SessionsPerIdentity):
		return wirepb.Reason_REASON_IDENTITY_FULL, fmt.Sprintf("%q already has %d sessions (limit sessions-per-identity)", identity, theirs)
	case !address.joins.Has(1, now):
		return wirepb.Reason_REASON_TOO_MANY_JOINS, fmt.Sprintf("your address has begun %d sessions within a minute (limit joins-per-address)", limits.JoinsPerAddress)
	case !who.joins.Has(1, now):
		return wirepb.Reason_REASON_TOO_MANY_JOINS, fmt.Sprintf("%q has begun %d sessions within a minute (limit joins-per-identity)", identity, limits.JoinsPerIdentity)
	}
	return 0, ""
}

// charge counts a session against its identity and, if address is not nil, against
// that address instead of an earlier one.
func (a *Accounts) charge(s *session, address *account, identity string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.who == nil {
		s.who = a.identities.use(identity, now)
		s.who.sessions++
	}
	if address != nil && s.address != address {
		s.discharge()
		s.address = address
		s.address.sessions++
		s.address.users++
	}
}

// discharge stops counting a session against its address.
func (s *session) discharge() {
	if s.address != nil {
		s.address.sessions--
		s.address.users--
		s.address = nil
	}
}

// strike stops counting a session against its accounts.
func (a *Accounts) strike(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.discharge()
	if s.who != nil {
		s.who.sessions--
		s.who.users--
		s.who = nil
	}
}

// afford charges n bytes of the log to a session's address and identity. It
// returns false, and charges nothing, when either is over its limit.
func (a *Accounts) afford(s *session, n int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.address != nil && !s.address.bytes.Has(n, now) || s.who != nil && !s.who.bytes.Has(n, now) {
		return false
	}
	if s.address != nil {
		s.address.bytes.Take(n, now)
	}
	if s.who != nil {
		s.who.bytes.Take(n, now)
	}
	return true
}
