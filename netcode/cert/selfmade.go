package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The files of a self-made pair, in its folder.
const (
	CertFile = "tls-cert.pem"
	KeyFile  = "tls-key.pem"
)

// selfMadeFor is how long a self-made certificate is valid; it is made again when less than a month is left.
const selfMadeFor = 365 * 24 * time.Hour

// SelfMade loads the pair of a folder, and makes one in a folder without, or when its time is nearly over. The certificate is for localhost and this
// machine's own addresses. The key is readable by its owner alone.
func SelfMade(folder string, logger *slog.Logger) (*Pair, error) {
	certFile, keyFile := filepath.Join(folder, CertFile), filepath.Join(folder, KeyFile)
	p, err := Load(certFile, keyFile, logger)
	if err == nil && time.Until(p.pair.Leaf.NotAfter) > 30*24*time.Hour {
		return p, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errOver) {
		return nil, fmt.Errorf("%w: remove both files, and a new pair is made", err)
	}
	if err := makePair(folder, certFile, keyFile); err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	return Load(certFile, keyFile, logger)
}

func makePair(folder, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "wind, self-made"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfMadeFor),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, // so that a client can trust it as its own authority
		DNSNames: []string{"localhost"}, IPAddresses: ownAddresses(),
	}
	if name, err := os.Hostname(); err == nil {
		c.DNSNames = append(c.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := write(keyFile, "PRIVATE KEY", secret); err != nil { // first: without the certificate, the next start makes both again
		return err
	}
	return write(certFile, "CERTIFICATE", der)
}

// write replaces a file.
func write(name, kind string, der []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".tls-*") // with mode 0600
	if err != nil {
		return err
	}
	err = errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ownAddresses returns this machine's addresses.
func ownAddresses() (all []net.IP) {
	all = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	addrs, _ := net.InterfaceAddrs() // without them, clients pin the certificate
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() {
			all = append(all, n.IP)
		}
	}
	return all
}
