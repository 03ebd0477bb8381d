package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence/wait"
)

// ConnectConfig says how to reach a NATS server or cluster.
type ConnectConfig struct {
	URL         string       // "nats://user:password@host:4222", several separated by commas
	Credentials string       // path of a .creds file, or ""
	ReadOnly    bool         // create nothing; a Wind server allows no more to a client without credentials
	Logger      *slog.Logger // nil: slog.Default()
}

// Conn is a connection to a NATS server. Its methods may be called concurrently. The caller that opened it must close
// it.
type Conn struct {
	nc *nats.Conn
	js jetstream.JetStream

	logger   *slog.Logger
	server   *Server   // the embedded server; nil if the server is external
	dir      string    // the embedded server's store; "" if the server is external
	started  time.Time // when the embedded server started; zero if the server is external
	maxBytes int64     // the embedded server's limit; 0 if the server is external
	readOnly bool      // a reader's connection, or one to a copy: create nothing

	mu      sync.Mutex
	limit   int64                       // what the account may store; 0: not asked yet
	has     int64                       // what a small server that does not report its limit can reserve at least; 0: not known
	streams map[string]jetstream.Stream // that many shards share

	creating sync.Mutex // held by createStream

	growing sync.Mutex        // held by lane.grow; guards what follows
	grown   map[string]growth // by partition
}

// ErrRefused reports that NATS does not accept a connection's user or password, or no message from it.
var ErrRefused = errors.New("refuses")

// Connect connects to an external server. It returns an error at once if the server is down, and ErrRefused if the URL
// lacks what the server asks for: a connection that is not ReadOnly must be able to publish.
func Connect(ctx context.Context, c ConnectConfig) (*Conn, error) {
	if err := validURLs(c.URL); err != nil {
		return nil, err
	}
	logger := cmp.Or(c.Logger, slog.Default())
	opts := []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				logger.Warn("lost the connection to NATS", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { logger.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted()) }),
	}
	if c.Credentials != "" {
		opts = append(opts, nats.UserCredentials(c.Credentials))
	}
	conn, err := connect(ctx, c.URL, opts...)
	if err != nil {
		return nil, err
	}
	conn.readOnly, conn.logger = c.ReadOnly, logger
	if !c.ReadOnly {
		if err := conn.mayPublish(ctx); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// mayPublish returns ErrRefused if the server drops what this connection publishes. It says so before it answers the ping.
func (c *Conn) mayPublish(ctx context.Context) error {
	subject := c.nc.NewInbox()
	if err := c.nc.Publish(subject, nil); err != nil {
		return fmt.Errorf("jetstream: cannot publish to NATS%s: %w", at(c.nc.ConnectedAddr()), err)
	}
	if err := c.Ping(ctx, wait.Limit); err != nil {
		return err
	}
	if err := c.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), subject) {
		return fmt.Errorf("jetstream: NATS%s %w messages: this user may only read", at(c.nc.ConnectedAddr()), ErrRefused)
	}
	return nil
}

// connectLimit bounds the time to connect, over all servers of a URL.
const connectLimit = 30 * time.Second

// connect adds the options that all our connections share. Nothing is buffered while disconnected: a publish that is
// sent after its caller saw a timeout is exactly the zombie that the fence is there to stop.
func connect(ctx context.Context, url string, opts ...nats.Option) (*Conn, error) {
	own := []nats.Option{
		nats.Name("wind"), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a server that restarts without its users may get them back later
		nats.ReconnectWait(200 * time.Millisecond), nats.PingInterval(10 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // each call returns its own error
	}
	if until, ok := ctx.Deadline(); ok {
		own = append(own, nats.Timeout(min(time.Until(until), wait.Limit)))
	}
	nc, err := wait.Call(ctx, wait.NATS, connectLimit, "open a connection"+at(url), func() (*nats.Conn, error) {
		return nats.Connect(url, append(own, opts...)...)
	}, (*nats.Conn).Close)
	for _, answer := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, answer) {
			return nil, fmt.Errorf("jetstream: NATS%s %w the user or the password: %w", at(url), ErrRefused, answer)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot connect to NATS%s: %w", at(url), err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	c := &Conn{nc: nc, js: asks{js}, logger: slog.Default()}
	if _, err := c.js.AccountInfo(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("jetstream: NATS%s answers, but JetStream does not (is it enabled for this account?): %w", at(url), err)
	}
	return c, nil
}

// validURLs returns an error for the first string in urls that is not a URL. The error omits the password.
func validURLs(urls string) error {
	for one := range strings.SplitSeq(urls, ",") {
		var why *url.Error
		if _, err := url.Parse(strings.TrimSpace(one)); errors.As(err, &why) {
			return fmt.Errorf("jetstream: the NATS URL%s is invalid: %w", at(one), why.Err)
		}
	}
	return nil
}

// at returns " at " and the server's address for an error, without the password.
func at(url string) string {
	if url == "" {
		return ""
	}
	return " at " + url[strings.LastIndexByte(url, '@')+1:]
}

// NATS returns the underlying connection, for messages between services.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// Ping returns an error unless the server answers within the limit.
func (c *Conn) Ping(ctx context.Context, limit time.Duration) (err error) {
	ctx, end := wait.For(ctx, wait.NATS, limit, "answer a ping")
	defer end(&err)
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("jetstream: NATS%s does not answer: %w", at(c.nc.ConnectedAddr()), err)
	}
	return nil
}

// MaxPayload returns the largest message that the server accepts, in bytes, headers included.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// Close closes the connection. Messages without an acknowledgement stay ambiguous.
func (c *Conn) Close() { c.nc.Close() }

// writable returns nil if, as far as this process knows, the store behind the connection accepts writes. Otherwise it
// returns an error that wraps persistence.ErrDiskFull or persistence.ErrReadOnly.
func (c *Conn) writable() error {
	if c.server == nil {
		return nil
	}
	return c.server.Trouble()
}

// silence returns a hint for an error about a missing answer: nats-server reports a failed write only in its own log.
func (c *Conn) silence() string {
	if c.server != nil {
		return "" // its store is watched
	}
	return " (a server whose disk is full or fails answers no append: see its log)"
}

// stalled returns a channel that is closed when the store stops accepting writes, or nil if the server is external.
func (c *Conn) stalled() <-chan struct{} {
	if c.server == nil {
		return nil
	}
	return c.server.keeper.trouble.Load().begun
}

// suspect makes the keeper probe the embedded server's store after a request got no answer.
func (c *Conn) suspect() {
	if c.server != nil {
		c.server.keeper.suspect()
	}
}

// stream finds a stream. It asks once for one that many shards share.
func (c *Conn) stream(ctx context.Context, name string, shared bool) (jetstream.Stream, error) {
	if shared {
		c.mu.Lock()
		s := c.streams[name]
		c.mu.Unlock()
		if s != nil {
			return s, nil
		}
	}
	s, err := c.js.Stream(ctx, name)
	if err == nil && shared {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.streams == nil {
			c.streams = map[string]jetstream.Stream{}
		}
		c.streams[name] = s
	}
	return s, err
}

// forget makes stream ask again for a stream that is gone.
func (c *Conn) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, name)
}

// isMissing reports whether a stream, bucket or message does not exist.
func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) ||
		errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrObjectNotFound)
}
