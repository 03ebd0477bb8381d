package cmd

import (
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/cert"
)

// tlsFlags say how a node proves itself to clients, and to whom it listens without that.
type tlsFlags struct {
	cert, key string
	own       bool // make a pair in the data folder
	insecure  bool
}

func (f *tlsFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.cert, "tls-cert", "", "file with the certificate for --tcp and --http, in PEM, read again when it changes: then both speak TLS 1.3 alone, and may be reached from other machines")
	set.StringVar(&f.key, "tls-key", "", "file with the key of --tls-cert")
	set.BoolVar(&f.own, "tls", false, "speak TLS 1.3 with a certificate that this command makes itself in --data, for development; clients pin its fingerprint")
	set.BoolVar(&f.insecure, "insecure", false, "let other machines reach addresses that nothing encrypts, such as --udp")
}

// check refuses flags that contradict each other.
func (f *tlsFlags) check() error {
	switch {
	case (f.cert == "") != (f.key == ""):
		return usagef("--tls-cert and --tls-key are a pair: give both or neither")
	case f.own && f.cert != "":
		return usagef("--tls makes a certificate, and --tls-cert names one: give one of them")
	}
	return nil
}

// covers reports whether other machines may reach the address of a flag.
func (f *tlsFlags) covers(flag string) bool {
	return f.insecure || (f.own || f.cert != "") && flag != "--udp"
}

// use sets what the flags say in a node's configuration, and changes nothing else.
func (f *tlsFlags) use(c *node.Config, log *slog.Logger) (err error) {
	if err = f.check(); err != nil {
		return err
	}
	c.Insecure = f.insecure
	if f.cert != "" {
		if c.TLS, err = cert.Load(f.cert, f.key, log); err != nil {
			return fmt.Errorf("--tls-cert: %w", err)
		}
	}
	return nil
}

// make makes the pair of --tls in a folder that has none, before a start.
func (f *tlsFlags) make(c *node.Config, folder string, log *slog.Logger) (err error) {
	if f.own {
		if c.TLS, err = cert.SelfMade(folder, log); err != nil {
			return fmt.Errorf("--tls: %w", err)
		}
	}
	return nil
}

// trustFlags say which servers bots trust.
type trustFlags struct {
	tls     bool
	ca, pin string
}

func (f *trustFlags) add(set *pflag.FlagSet) {
	set.BoolVar(&f.tls, "tls", false, "speak TLS over --transport tcp, and trust the authorities that this machine trusts")
	set.StringVar(&f.ca, "tls-ca", "", "speak TLS, and trust the authorities in this file, in PEM")
	set.StringVar(&f.pin, "tls-pin", "", "speak TLS, and trust the certificate with this fingerprint (SHA-256, in hex) alone")
}

// config returns the client's configuration, nil without TLS.
func (f *trustFlags) config(verb string, stream bool) (c *tls.Config, err error) {
	switch {
	case !f.tls && f.ca == "" && f.pin == "":
		return nil, nil
	case !stream:
		return nil, usagef("%s: TLS needs --transport tcp", verb)
	case f.ca != "" && f.pin != "":
		return nil, usagef("%s: --tls-ca trusts authorities, and --tls-pin one certificate: give one of them", verb)
	case f.pin != "":
		if c, err = cert.Pinned(f.pin); err != nil {
			return nil, usagef("%s: --tls-pin: %v", verb, err)
		}
		return c, nil
	}
	if c, err = cert.Trusted(f.ca); err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", err)
	}
	return c, nil
}
