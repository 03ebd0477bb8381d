package cert

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"
)

// lookEvery is how often a Pair looks whether its files have changed, at most: at a client's handshake.
const lookEvery = time.Second

// Pair is a certificate with its key. Its methods are safe for concurrent use.
type Pair struct {
	certFile, keyFile string
	log               *slog.Logger
	clock             func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	states [2]state // of the files, when they were read
	looked time.Time
	told   string // the last reason that was logged
}

// state tells whether a file has changed.
type state struct {
	changed time.Time
	size    int64
	file    fs.FileInfo
}

func (s state) same(o state) bool {
	return s.size == o.size && s.changed.Equal(o.changed) && os.SameFile(s.file, o.file)
}

// Load reads a certificate, with those that vouch for it below it, and its key, both in PEM. It returns an error that names the file if one is
// missing or unreadable, if they do not fit each other, or if the certificate's time is over or has not come. logger gets what happens when the files
// change later; nil means slog.Default().
func Load(certFile, keyFile string, logger *slog.Logger) (*Pair, error) {
	logger = cmp.Or(logger, slog.Default())
	p := &Pair{certFile: certFile, keyFile: keyFile, log: logger, clock: time.Now}
	states, err := p.stat()
	if err != nil {
		return nil, err
	}
	if p.pair, err = p.read(); err != nil {
		return nil, err
	}
	p.states, p.looked = states, p.clock()
	if mode := states[1].file.Mode().Perm(); mode&0o004 != 0 && runtime.GOOS != "windows" {
		logger.Warn("every user of this machine can read the key: chmod 600 it", "file", keyFile, "mode", fmt.Sprintf("%04o", mode))
	}
	return p, nil
}

// stat looks at the files.
func (p *Pair) stat() (all [2]state, err error) {
	for i, name := range []string{p.certFile, p.keyFile} {
		x, err := os.Stat(name)
		if err != nil {
			return all, err
		}
		all[i] = state{x.ModTime(), x.Size(), x}
	}
	return all, nil
}

// read reads the files.
func (p *Pair) read() (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(p.certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(p.keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no pair: %w", p.certFile, p.keyFile, err)
	}
	now := p.clock()
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("%w: %s was valid until %s: renew it", errOver, p.certFile, leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("the certificate %s is valid from %s on: is this machine's clock right?", p.certFile, leaf.NotBefore.Format(time.DateTime))
	}
	return &pair, nil
}

var errOver = errors.New("the certificate's time is over")

// Certificate returns the pair in force. It reads the files again if they have changed.
func (p *Pair) Certificate() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.clock(); now.Sub(p.looked) >= lookEvery || now.Before(p.looked) {
		p.looked = now
		p.renew()
	}
	return p.pair
}

// renew takes what the files hold now. The caller holds the lock.
func (p *Pair) renew() {
	states, err := p.stat()
	if err == nil && states[0].same(p.states[0]) && states[1].same(p.states[1]) {
		p.expires()
		return
	}
	var pair *tls.Certificate
	if err == nil {
		pair, err = p.read()
	}
	if err != nil { // perhaps one of the two has not been written yet
		p.tell(slog.LevelError, err.Error(), "the changed certificate is not used; the old one stays in force")
		return
	}
	p.pair, p.states, p.told = pair, states, ""
	p.log.Info("a new certificate is in force", "file", p.certFile, "valid_until", pair.Leaf.NotAfter.Format(time.DateOnly), "fingerprint", fingerprint(pair))
}

// expires warns once when the certificate's time is over.
func (p *Pair) expires() {
	if end := p.pair.Leaf.NotAfter; p.clock().After(end) {
		p.tell(slog.LevelError, "valid until "+end.Format(time.DateOnly), "the certificate's time is over, and clients refuse it: renew it")
	}
}

// tell logs a reason once.
func (p *Pair) tell(level slog.Level, reason, text string) {
	if p.told != reason {
		p.told = reason
		p.log.Log(context.Background(), level, text, "file", p.certFile, "reason", reason)
	}
}

// Fingerprint returns the SHA-256 of the certificate in force, in hex.
func (p *Pair) Fingerprint() string { return fingerprint(p.Certificate()) }

func fingerprint(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Leaf.Raw)
	return hex.EncodeToString(sum[:])
}

// ServerConfig returns the configuration of a server with this pair: TLS 1.3 and no other version, for the given protocols (ALPN).
func (p *Pair) ServerConfig(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.Certificate(), nil },
	}
}

// ErrPin reports that a server showed another certificate than the pinned one.
var ErrPin = errors.New("the server shows another certificate than the pinned one")

// Pinned returns the configuration of a client that trusts exactly the certificate with a Fingerprint, whoever vouches for it and whatever names
// it has. Upper case, spaces and colons in the fingerprint do not matter.
func Pinned(fingerprint string) (*tls.Config, error) {
	want, err := parseFingerprint(fingerprint)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection decides
		VerifyConnection: func(s tls.ConnectionState) error {
			if got := sha256.Sum256(s.PeerCertificates[0].Raw); got != want {
				return fmt.Errorf("%w: its fingerprint is %x", ErrPin, got)
			}
			return nil
		},
	}, nil
}

func parseFingerprint(text string) (sum [sha256.Size]byte, err error) {
	var digits []byte
	for _, c := range []byte(text) {
		if c != ':' && c != ' ' {
			digits = append(digits, c)
		}
	}
	if n, err := hex.Decode(sum[:min(len(sum), len(digits)/2)], digits[:min(len(digits), 2*len(sum))]); err != nil || n != len(sum) || len(digits) != 2*len(sum) {
		return sum, fmt.Errorf("%q is not a fingerprint: want the 64 hexadecimal digits of a SHA-256", text)
	}
	return sum, nil
}

// Trusted returns the configuration of a client that trusts the authorities whose certificates are in a PEM file, or those of this
// machine if file is empty.
func Trusted(file string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	if file == "" {
		return c, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("there is no certificate in %s", file)
	}
	return c, nil
}
