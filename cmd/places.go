package cmd

import (
	"net"
	"strings"

	"github.com/ferris1/wind/persistence"
)

// checkAddress refuses an address that is not host:port. It accepts "", which means none for flags that may be empty.
func checkAddress(flag, address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	switch {
	case err == nil:
		return nil
	case port != "" && strings.Trim(port, "-0123456789") == "":
		return usagef("%s %s: %s is not a port: ports are 0 to 65535", flag, address, port)
	}
	return usagef("%s %q is not an address: write host:port, such as 127.0.0.1:7777", flag, address)
}

// checkName refuses a name that no cluster or shard can have.
func checkName(flag, name string) error {
	if persistence.ValidShardName(name) != nil {
		return usagef("%s %q is not a name: use 1 to 40 of a-z, 0-9 and -", flag, name)
	}
	return nil
}

// checkInstance refuses an id that no instance can have. It accepts "", which means the default.
func checkInstance(flag, id string) error {
	if id != "" && (len(id) > 60 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "") {
		return usagef("%s %q is not an id: use 1 to 60 of a-z, 0-9 and -", flag, id)
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
