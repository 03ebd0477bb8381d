package cmd

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ferris1/wind/netcode/netsim"
)

// badNetworkUsage explains the text of a badNetwork; where names the place that explains the rest.
func badNetworkUsage(where string) string {
	return "round trip, jitter and loss, such as 120ms,25ms,5%; " + where + " has the rest (default: the machine's own network)"
}

// slowest is the longest round trip over which a bot gets a session: its client gives a node 1.5 s for the first answer.
const slowest = 1400 * time.Millisecond

// badNetwork is a flag's value: the simulated network that bots play over. The zero value leaves the machine's own network as it is.
type badNetwork struct{ netsim.Conditions }

// Set implements pflag.Value.
func (b *badNetwork) Set(text string) (err error) {
	b.Conditions = netsim.Conditions{}
	if text == "" {
		return nil
	}
	if b.Conditions, err = netsim.Parse(text); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "netsim: "))
	}
	if longest := b.RTT + b.Jitter; longest > slowest {
		return fmt.Errorf("a round trip of up to %v: bots get no session over more than %v", longest, slowest)
	}
	return nil
}

// Type implements pflag.Value.
func (b *badNetwork) Type() string { return "network" }

func (b *badNetwork) bad() bool { return b.Conditions != netsim.Conditions{} }

// dialer returns what opens the bots' sockets, nil for plain ones.
func (b *badNetwork) dialer(seed uint64) func(address string) (net.Conn, error) {
	if !b.bad() {
		return nil
	}
	d := &netsim.Dialer{Conditions: b.Conditions, Seed: seed}
	return d.Dial
}
