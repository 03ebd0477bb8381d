package cert

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// quiet collects what a pair logs.
func quiet(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// shake lets a client of a configuration connect to a server with a pair, and returns what the client sees.
func shake(t *testing.T, p *Pair, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if far, err := l.Accept(); err == nil {
			_ = tls.Server(far, p.ServerConfig("wind")).Handshake()
			_, _ = io.Copy(io.Discard, far) // until the client has closed
			far.Close()
		}
	}()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	c = c.Clone()
	c.ServerName, c.NextProtos = "localhost", []string{"wind"}
	client := tls.Client(near, c)
	err = client.Handshake()
	return client.ConnectionState(), err
}

// TestASelfMadePairIsKept: it is made once, its key is for its owner alone, a client that pins it or trusts it connects with TLS 1.3, and any other does not.
func TestASelfMadePairIsKept(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	var log bytes.Buffer
	p, err := SelfMade(folder, quiet(&log))
	if err != nil {
		t.Fatal(err)
	}
	again, err := SelfMade(folder, quiet(&log))
	if err != nil || again.Fingerprint() != p.Fingerprint() {
		t.Errorf("the second start has another pair: %v", err)
	}
	if x, err := os.Stat(filepath.Join(folder, KeyFile)); err != nil || runtime.GOOS != "windows" && x.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", x.Mode(), err)
	}
	upper := strings.ToUpper(p.Fingerprint())
	for i := len(upper) - 2; i > 0; i -= 2 {
		upper = upper[:i] + ":" + upper[i:]
	}
	for _, pin := range []string{p.Fingerprint(), upper} {
		c, err := Pinned(pin)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := shake(t, p, c); err != nil || s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "wind" {
			t.Errorf("with the pin %s: %v, version %x", pin, err, s.Version)
		}
	}
	trusted, err := Trusted(filepath.Join(folder, CertFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, p, trusted); err != nil {
		t.Errorf("who trusts it: %v", err)
	}
	other, err := SelfMade(t.TempDir(), quiet(&log))
	if err != nil {
		t.Fatal(err)
	}
	wrong, _ := Pinned(other.Fingerprint())
	if _, err := shake(t, p, wrong); !errors.Is(err, ErrPin) || !strings.Contains(err.Error(), p.Fingerprint()) {
		t.Errorf("with another pin: %v", err)
	}
	plain, _ := Trusted("")
	if _, err := shake(t, p, plain); err == nil {
		t.Error("a client that trusts this machine's authorities accepts it")
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if _, err := shake(t, p, old); err == nil {
		t.Error("TLS 1.2 is accepted")
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", &log)
	}
}

// TestAChangedPairIsUsed: overwritten, renamed, or behind a symbolic link that moves. One that does not fit, or is missing, leaves the old one in force, and
// the log says so once.
func TestAChangedPairIsUsed(t *testing.T) {
	var log bytes.Buffer
	made := func() string {
		dir := t.TempDir()
		if _, err := SelfMade(dir, quiet(&log)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	copyTo := func(from, to, name string) {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := made(), made(), made()
	dir := t.TempDir()
	link := filepath.Join(dir, "current")
	if err := os.Symlink(first, link); err != nil {
		t.Skip(err)
	}
	p, err := Load(filepath.Join(link, CertFile), filepath.Join(link, KeyFile), quiet(&log))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p.clock = func() time.Time { return now }
	of := func(dir string) string {
		x, err := Load(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile), quiet(&log))
		if err != nil {
			t.Fatal(err)
		}
		return x.Fingerprint()
	}
	old := of(first)
	is := func(what, want string) {
		t.Helper()
		now = now.Add(lookEvery)
		if got := p.Fingerprint(); got != want {
			t.Errorf("%s: another certificate is in force", what)
		}
	}
	is("at the start", old)

	next := filepath.Join(dir, "next")
	if err := os.Symlink(second, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, link); err != nil {
		t.Fatal(err)
	}
	if got := p.Fingerprint(); got != old {
		t.Error("within a second the files are read again")
	}
	is("the link has moved", of(second))
	if !strings.Contains(log.String(), "a new certificate is in force") {
		t.Errorf("the log does not tell: %s", &log)
	}

	log.Reset()
	copyTo(third, second, CertFile)
	is("half of a new pair", p.Fingerprint())
	is("a second later", p.Fingerprint())
	if n := strings.Count(log.String(), "are no pair"); n != 1 {
		t.Errorf("the log tells %d times that they do not fit: %s", n, &log)
	}
	copyTo(third, second, KeyFile)
	is("the other half", of(third))
	if err := os.Remove(filepath.Join(second, KeyFile)); err != nil {
		t.Fatal(err)
	}
	is("the key is missing", of(third))
	now = now.Add(2 * selfMadeFor)
	copyTo(third, second, KeyFile)
	log.Reset()
	is("its time is over", of(third))
	if !strings.Contains(log.String(), "time is over") {
		t.Errorf("the log does not tell that its time is over: %s", &log)
	}
}

// TestWhatIsNoPair: each error names the file and the reason.
func TestWhatIsNoPair(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	var log bytes.Buffer
	for _, dir := range []string{a, b} {
		if _, err := SelfMade(dir, quiet(&log)); err != nil {
			t.Fatal(err)
		}
	}
	certA, keyA := filepath.Join(a, CertFile), filepath.Join(a, KeyFile)
	text := filepath.Join(a, "text")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ cert, key, want string }{
		{filepath.Join(a, "missing"), keyA, "missing"},
		{certA, filepath.Join(a, "missing"), "missing"},
		{certA, filepath.Join(b, KeyFile), "no pair"},
		{keyA, certA, "no pair"},
		{text, keyA, "no pair"},
	} {
		if _, err := Load(c.cert, c.key, quiet(&log)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v", c.cert, c.key, err)
		}
	}
	if _, err := Trusted(text); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("authorities in a text: %v", err)
	}
	for _, pin := range []string{"", "12", strings.Repeat("g", 64), strings.Repeat("0", 66)} {
		if _, err := Pinned(pin); err == nil {
			t.Errorf("the pin %q is accepted", pin)
		}
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(keyA, 0o644); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if _, err := Load(certA, keyA, quiet(&log)); err != nil || !strings.Contains(log.String(), "every user") {
			t.Errorf("a key for everybody: %v, %s", err, &log)
		}
	}
}
