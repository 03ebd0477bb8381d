package cmd

import (
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
)

// embeddedFlags are the flags of the servers embedded in a process.
type embeddedFlags struct {
	nats, etcd port
	sync       syncing
}

func (f *embeddedFlags) add(set *pflag.FlagSet) {
	set.Var(&f.nats, "nats-port", "loopback port of the embedded NATS server; 0 picks a free one (default: 4222, or a free one if it is taken)")
	set.Var(&f.etcd, "etcd-port", "loopback port of the embedded etcd server; 0 picks a free one (default: 2379, or a free one if it is taken)")
	set.Var(&f.sync, "sync", "when the embedded NATS server syncs to disk: always (before each acknowledgement, so that a power loss loses nothing committed) or interval (every 2 minutes)")
}

// check refuses flags of embedded servers if nats names a server elsewhere.
func (f *embeddedFlags) check(nats string) error {
	switch {
	case nats == "":
		return nil
	case f.nats.text != "":
		return usagef("--nats-port is for an embedded server, and --nats names another: omit one of them")
	case f.etcd.text != "":
		return usagef("--etcd-port is for an embedded server, and --etcd names another: omit one of them")
	case f.sync.given:
		return usagef("--sync is for an embedded server: set sync_interval: always in the configuration of the server at --nats instead")
	}
	return nil
}

// ports lists the ports that the flags name; AnyPort and a default that is taken are never in the way.
func (f *embeddedFlags) ports() (named ports) {
	for _, p := range []struct {
		flag string
		port
	}{{"--nats-port", f.nats}, {"--etcd-port", f.etcd}} {
		if p.number > 0 {
			named = append(named, listener{p.flag, "tcp", net.JoinHostPort("127.0.0.1", p.text)})
		}
	}
	return named
}

func (f *embeddedFlags) config() node.Embedded {
	return node.Embedded{NATSPort: f.nats.number, EtcdPort: f.etcd.number, SyncAlways: f.sync.always}
}

// port is the value of a flag for a server's port: not given, any (0), or a number.
type port struct {
	text   string
	number int // as node.Embedded has it
}

// Set implements pflag.Value.
func (p *port) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port: ports are 1 to 65535, and 0 picks a free one", text)
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
