package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence/wait"
)

// ConnectConfig says how to reach a NATS server or cluster.
type ConnectConfig struct {
	URL         string       // "nats://user:password@host:4222", several separated by commas
	Credentials string       // path of a .creds file, or ""
	ReadOnly    bool         // make nothing there: all that a URL without credentials of a Wind server lets one do
	Logger      *slog.Logger // nil: slog.Default()
}

// Conn is a connection to a NATS server. Its methods may be called
// concurrently; whoever opened it closes it.
type Conn struct {
	nc *nats.Conn
	js jetstream.JetStream

	log      *slog.Logger
	server   *Server   // the embedded server; nil when it is not ours
	dir      string    // of the embedded server's store; "" when it is not ours
	started  time.Time // the embedded server; zero when it is not ours
	maxBytes int64     // of the embedded server; 0 when it is not ours
	readOnly bool      // of a reader, or to a copy: nothing is made there
}

// Connect connects to a server of somebody else. It does not wait for one that
// is not there.
func Connect(ctx context.Context, c ConnectConfig) (*Conn, error) {
	if err := validURLs(c.URL); err != nil {
		return nil, err
	}
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	opts := []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted()) }),
	}
	if c.Credentials != "" {
		opts = append(opts, nats.UserCredentials(c.Credentials))
	}
	conn, err := connect(ctx, c.URL, opts...)
	if err == nil {
		conn.readOnly, conn.log = c.ReadOnly, log
	}
	return conn, err
}

// connectLimit bounds a connection's begin, over all servers of a URL.
const connectLimit = 30 * time.Second

// connect adds what every connection of ours has: nothing is buffered while
// disconnected, since a publish that is sent after its time-out was answered
// is exactly the zombie that the fence is there for.
func connect(ctx context.Context, url string, opts ...nats.Option) (*Conn, error) {
	own := []nats.Option{
		nats.Name("wind"), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a server that comes back without its users may get them back as well
		nats.ReconnectWait(200 * time.Millisecond), nats.PingInterval(10 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // each call returns its own error
	}
	if until, ok := ctx.Deadline(); ok {
		own = append(own, nats.Timeout(min(time.Until(until), wait.Limit)))
	}
	nc, err := wait.Call(ctx, wait.NATS, connectLimit, "a connection"+at(url), func() (*nats.Conn, error) {
		return nats.Connect(url, append(own, opts...)...)
	}, (*nats.Conn).Close)
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot connect to NATS%s: %w", at(url), err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	c := &Conn{nc: nc, js: asks{js}, log: slog.Default()}
	if _, err := c.js.AccountInfo(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("jetstream: NATS%s answers, but JetStream does not (is it enabled for this account?): %w", at(url), err)
	}
	return c, nil
}

// validURLs finds what cannot be a URL, and says so without the password in it.
func validURLs(urls string) error {
	for one := range strings.SplitSeq(urls, ",") {
		var why *url.Error
		if _, err := url.Parse(strings.TrimSpace(one)); errors.As(err, &why) {
			return fmt.Errorf("jetstream: this is not a URL of NATS%s: %w", at(one), why.Err)
		}
	}
	return nil
}

// at names a server in an error, without its password.
func at(url string) string {
	if url == "" {
		return ""
	}
	return " at " + url[strings.LastIndexByte(url, '@')+1:]
}

// NATS returns the connection itself, for messages between services.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// MaxPayload is the largest message that the server takes, in bytes, headers
// included.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// Close closes the connection. What was not acknowledged stays ambiguous.
func (c *Conn) Close() { c.nc.Close() }

// writable returns nil, or why the store behind the connection takes nothing at
// the moment, as far as this process can know: an error that wraps
// persistence.ErrDiskFull or persistence.ErrReadOnly.
func (c *Conn) writable() error {
	if c.server == nil {
		return nil
	}
	return c.server.Trouble()
}

// silence says what a missing answer may mean: nats-server tells nobody but its
// own log that it could not write.
func (c *Conn) silence() string {
	if c.server != nil {
		return "" // its store is watched
	}
	return " (a server whose disk is full or fails answers no append: see its log)"
}

// stalled is closed when the store begins to take nothing; nil when nobody here
// can know.
func (c *Conn) stalled() <-chan struct{} {
	if c.server == nil {
		return nil
	}
	return c.server.keeper.trouble.Load().begun
}

// suspect has the embedded server's store looked at: something was not answered.
func (c *Conn) suspect() {
	if c.server != nil {
		c.server.keeper.suspect()
	}
}

// isMissing reports whether a stream, bucket or message does not exist.
func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) ||
		errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrObjectNotFound)
}
