package cmd

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// checkAddress refuses an address that is not host:port. It accepts "", which means none for flags that may be empty.
func checkAddress(flag, address string) error { return checkAddressOn("tcp", flag, address) }

// checkAddressOn does the work of checkAddress: a service's name may be a port of one network only.
func checkAddressOn(network, flag, address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort(network, port)
	}
	switch {
	case err == nil:
		return nil
	case port != "" && strings.Trim(port, "-0123456789") == "":
		return usagef("%s %s: %s is not a port: ports are 0 to 65535", flag, address, port)
	}
	return usagef("%s %q is not an address: write host:port, such as 127.0.0.1:7777", flag, address)
}

// listener is a flag that names an address at which players or operators reach a process.
type listener struct{ flag, network, address string }

// ports are the addresses that one process listens on; an empty one means none.
type ports []listener

// check refuses addresses that are wrong, that need one port twice, or that other machines could reach although nothing encrypts what clients send there.
func (p ports) check(secure tlsFlags) error {
	for i, l := range p {
		if err := checkAddressOn(l.network, l.flag, l.address); err != nil {
			return err
		}
		if l.address == "" {
			continue
		}
		host, _, _ := net.SplitHostPort(l.address)
		if ip := net.ParseIP(host); (host == "" || ip != nil && !ip.IsLoopback()) && !secure.covers(l.flag) {
			ways := "name a loopback address such as 127.0.0.1:7777, or allow it with --insecure"
			if l.flag != "--udp" {
				ways = "name a loopback address such as 127.0.0.1:7777, encrypt with --tls-cert and --tls-key, or allow it with --insecure"
			}
			return usagef("%s %s: other machines could reach it, and nothing encrypts what clients send there: %s", l.flag, l.address, ways)
		}
		for _, other := range p[:i] {
			if l.sharesPort(other) {
				return usagef("%s and %s both name port %s: give each its own", other.flag, l.flag, l.port())
			}
		}
	}
	return nil
}

// port returns the port's number, or "" for none and for any free one.
func (l listener) port() string {
	_, port, err := net.SplitHostPort(l.address)
	number, lookErr := net.LookupPort(l.network, port)
	if err != nil || lookErr != nil || number == 0 {
		return ""
	}
	return strconv.Itoa(number)
}

// sharesPort reports whether only one of two listeners can have its port.
func (l listener) sharesPort(other listener) bool {
	return l.network == other.network && l.port() != "" && l.port() == other.port() && l.host() == other.host()
}

// host returns the address's host; localhost is 127.0.0.1.
func (l listener) host() string {
	host, _, _ := net.SplitHostPort(l.address)
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

// checkName refuses a name that no cluster or shard can have.
func checkName(flag, name string) error {
	if persistence.ValidShardName(name) != nil {
		return usagef("%s %q is not a name: use 1 to %d of a-z, 0-9 and -", flag, name, ecs.MaxName)
	}
	return nil
}

// checkInstance refuses an id that no instance can have. It accepts "", which means the default.
func checkInstance(flag, id string) error {
	if id != "" && ecs.ValidName(id, ecs.MaxLongName) != nil {
		return usagef("%s %q is not an id: use 1 to %d of a-z, 0-9 and -", flag, id, ecs.MaxLongName)
	}
	return nil
}

// places are the flags among --data, --file, --nats and --etcd that a call gives.
type places []string

func namedPlaces(set *pflag.FlagSet) (given places) {
	for _, name := range []string{"data", "file", "nats", "etcd"} {
		if f := set.Lookup(name); f != nil && f.Changed {
			given = append(given, name)
		}
	}
	return given
}

// joins reports whether another flag can be used along with p. --nats and --etcd name servers of one cluster; a verb reads
// --data only if they do not name all that it needs.
func (p places) joins(name string) bool {
	switch name {
	case "nats", "etcd":
		return !slices.Contains(p, "data") && !slices.Contains(p, "file")
	case "file":
		return len(p) == 0
	}
	return true
}

// serversElsewhere returns a function that reports whether a flag contradicts one that the call gives: --nats and --etcd name
// servers in other processes, and some flags are only for embedded ones.
func serversElsewhere(set *pflag.FlagSet) func(name string) bool {
	given := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { f := set.Lookup(name); return f != nil && f.Changed })
	}
	external, embedded := []string{"nats", "etcd"}, []string{"nats-port", "etcd-port", "sync"}
	hidden := []string{}
	if given(external...) {
		hidden = embedded
	} else if given(embedded...) {
		hidden = external
	}
	return func(name string) bool { return slices.Contains(hidden, name) }
}

// onePlace refuses a call that names two places.
func onePlace(set *pflag.FlagSet) error {
	p := namedPlaces(set)
	for i := 1; i < len(p); i++ {
		if !p[:i].joins(p[i]) {
			return usagef("--%s and --%s name two places: give only one", p[0], p[i])
		}
	}
	return nil
}

// checkPair refuses one of a cluster's servers without the other: a data directory may belong to another cluster.
func checkPair(nats, etcd string) error {
	if (nats == "") != (etcd == "") {
		given, missing := "nats", "etcd"
		if nats == "" {
			given, missing = missing, given
		}
		return usagef("--%s needs --%s, which names the same cluster's other server; or give neither: --data names both", given, missing)
	}
	return nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
