package cmd

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
)

// embeddedFlags are those of the servers that a process brings along.
type embeddedFlags struct {
	nats, etcd port
	sync       syncing
}

func (f *embeddedFlags) add(set *pflag.FlagSet) {
	set.Var(&f.nats, "nats-port", "port of the embedded NATS server on the loopback; 0: any (default: 4222, or any when it is taken)")
	set.Var(&f.etcd, "etcd-port", "port of the embedded etcd server on the loopback; 0: any (default: 2379, or any when it is taken)")
	set.Var(&f.sync, "sync", "when the embedded NATS server syncs to the disk: always (before each acknowledgement: nothing committed is lost in a power loss) or interval (every 2 minutes)")
}

// check refuses flags of embedded servers where there are none.
func (f *embeddedFlags) check(nats string) error {
	switch {
	case nats == "":
		return nil
	case f.nats.text != "":
		return usagef("--nats-port is for an embedded server, and --nats names another: leave one of them out")
	case f.etcd.text != "":
		return usagef("--etcd-port is for an embedded server, and --etcd names another: leave one of them out")
	case f.sync.given:
		return usagef("--sync is for an embedded server: give the NATS server at --nats sync_interval: always in its own configuration")
	}
	return nil
}

func (f *embeddedFlags) config() node.Embedded {
	return node.Embedded{NATSPort: f.nats.number, EtcdPort: f.etcd.number, SyncAlways: f.sync.always}
}

// port is a flag's port for a server: not given, any (0), or one.
type port struct {
	text   string
	number int // as node.Embedded has it
}

// Set implements pflag.Value.
func (p *port) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port: ports are 1 to 65535, and 0 is any that is free", text)
	}
	if p.text, p.number = text, n; n == 0 {
		p.number = node.AnyPort
	}
	return nil
}

// String implements pflag.Value.
func (p *port) String() string { return p.text }

// Type implements pflag.Value.
func (p *port) Type() string { return "port" }

// syncing is the value of --sync.
type syncing struct{ always, given bool }

// Set implements pflag.Value.
func (s *syncing) Set(text string) error {
	if text != "always" && text != "interval" {
		return fmt.Errorf("%q is not always or interval", text)
	}
	s.always, s.given = text == "always", true
	return nil
}

// String implements pflag.Value.
func (s *syncing) String() string {
	if s.always {
		return "always"
	}
	return "interval"
}

// Type implements pflag.Value.
func (s *syncing) Type() string { return "when" }
