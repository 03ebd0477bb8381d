package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Limits of a shard's storage where Options name none. A limit is reserved in
// the server's book-keeping, not on the disk.
const (
	DefaultLogBytes      = 8 << 30 // some days of 50 players; what is older than a proven snapshot goes when it fills
	DefaultDeltaBytes    = 4 << 30
	DefaultSnapshotBytes = 2 << 30 // of a cluster's snapshots together
	MinLogBytes          = 1 << 20 // a log that an operator asks for has room for at least one large record
	leastDefault         = 8 << 20 // what a small server's share of a default is at least
	peersTimeout         = 10 * time.Second
)

// Options are a shard's storage settings. The zero value is the default.
// Replicas and SnapshotBytes count when the streams are made; the limits of log
// and deltas, where they are given, are those of streams that exist as well.
type Options struct {
	Replicas      int           // 1 or 3; 0: 1
	LogBytes      int64         // the log refuses to grow beyond (persistence.ErrFull)
	DeltaBytes    int64         // the delta stream drops its oldest beyond
	DeltaAge      time.Duration // and what is older; 0: never for age alone
	NoDeltas      bool          // open no delta stream, and make none
	SnapshotBytes int64         // of all snapshots of the cluster
	AckTimeout    time.Duration // 0: DefaultAckTimeout

	chosen struct{ log, deltas, snapshots bool } // somebody named the limit: it is not lowered
}

// fill sets the defaults, and lowers those that the server's limits leave no
// room for.
func (o Options) fill(ctx context.Context, c *Conn) (Options, error) {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	o.chosen.log, o.chosen.deltas, o.chosen.snapshots = o.LogBytes > 0, o.DeltaBytes > 0, o.SnapshotBytes > 0
	free := c.maxBytes
	if free <= 0 {
		a, err := c.js.AccountInfo(ctx)
		if err != nil {
			return o, fmt.Errorf("jetstream: cannot read the account's limits: %w", err)
		}
		free = a.Limits.MaxStore // -1: none
	}
	limit := func(bytes *int64, normal, share int64) {
		if *bytes == 0 {
			*bytes = normal
			if free > 0 {
				*bytes = max(min(normal, free/share), leastDefault)
			}
		}
	}
	limit(&o.LogBytes, DefaultLogBytes, 4)
	limit(&o.DeltaBytes, DefaultDeltaBytes, 8)
	limit(&o.SnapshotBytes, DefaultSnapshotBytes, 16)
	return o, nil
}

// apply gives the streams that exist the limits that somebody named. A log is
// never made smaller than what it holds: it would refuse every record.
func (o Options) apply(ctx context.Context, c *Conn, ref Ref) error {
	if c.readOnly {
		return nil
	}
	if o.chosen.log {
		if err := resize(ctx, c, logStream(ref.Cluster, ref.Shard), true, func(s *jetstream.StreamConfig) { s.MaxBytes = o.LogBytes }); err != nil {
			return err
		}
	}
	if o.NoDeltas || !o.chosen.deltas && o.DeltaAge == 0 {
		return nil
	}
	return resize(ctx, c, deltaStream(ref.Cluster, ref.Shard), false, func(s *jetstream.StreamConfig) {
		if o.chosen.deltas {
			s.MaxBytes = o.DeltaBytes
		}
		if o.DeltaAge > 0 {
			s.MaxAge = o.DeltaAge
		}
	})
}

// resize changes the limits of a stream, if it exists and has others. What holds
// keeps must fit.
func resize(ctx context.Context, c *Conn, name string, keeps bool, change func(*jetstream.StreamConfig)) error {
	s, err := c.js.Stream(ctx, name)
	if isMissing(err) {
		return nil // it is made with them
	}
	if err != nil {
		return fmt.Errorf("jetstream: cannot read the limits of stream %s: %w", name, err)
	}
	old, used := s.CachedInfo().Config, int64(s.CachedInfo().State.Bytes)
	config := old
	change(&config)
	if config.MaxBytes == old.MaxBytes && config.MaxAge == old.MaxAge {
		return nil
	}
	if keeps && config.MaxBytes < used {
		return fmt.Errorf("%w: the log %s holds %s and cannot be limited to %s: give --log-bytes more, or purge it first with wind log purge",
			persistence.ErrFull, name, bytesText(used), bytesText(config.MaxBytes))
	}
	return reserved(ctx, c, name, &config.MaxBytes, true, func() error {
		_, err := c.js.UpdateStream(ctx, config)
		return err
	})
}

// createStream makes a stream; one with the same settings may exist. In a
// cluster that has just started not every server knows the others yet: it waits
// for them a little.
func createStream(ctx context.Context, c *Conn, config jetstream.StreamConfig, chosen bool) error {
	return reserved(ctx, c, config.Name, &config.MaxBytes, chosen, func() error {
		_, err := c.js.CreateStream(ctx, config)
		for end := time.Now().Add(peersTimeout); noPeers(err) && time.Now().Before(end) && ctx.Err() == nil; _, err = c.js.CreateStream(ctx, config) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil // another node was faster, perhaps with another default; who opens it looks at what it is
		}
		return err
	})
}

// made returns a stream that exists. In a cluster a server may not have heard of it at the moment another one, asked by
// this node or by one that started together with it, has made it: what is not found is looked for again, for a while.
func (c *Conn) made(ctx context.Context, name string) (jetstream.Stream, error) {
	for end := time.Now().Add(peersTimeout); ; {
		s, err := c.js.Stream(ctx, name)
		if !isMissing(err) || time.Now().After(end) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// noPeers reports whether a cluster does not know all its servers yet.
func noPeers(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeNoPeers && !noStorage(err)
}

// noStorage reports whether a server refuses a stream because it cannot reserve
// its limit. A cluster says so in words.
func noStorage(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeStorageExceeded || api.ErrorCode == codeInsufficient ||
		api.ErrorCode == codeNoPeers && strings.Contains(api.Description, "insufficient storage"))
}

// reserved makes or changes what reserves *limit bytes. A default that does not
// fit is quartered until it does, so that something is left for the shard's other
// streams: servers do not tell what they have. What somebody chose is refused,
// with the sizes.
func reserved(ctx context.Context, c *Conn, name string, limit *int64, chosen bool, reserve func() error) error {
	asked := *limit
	err := reserve()
	for ; noStorage(err) && !chosen && *limit/4 >= leastDefault; err = reserve() {
		*limit /= 4
	}
	if noStorage(err) {
		return fmt.Errorf("%w: no room for the %s that stream %s is to be given%s: give the server more (max_file_store, or a larger disk), or the streams less (--log-bytes, --delta-bytes)",
			persistence.ErrFull, bytesText(asked), name, c.capacity(ctx))
	}
	if err != nil {
		return fmt.Errorf("jetstream: cannot make or change stream %s: %w", name, err)
	}
	return nil
}

// capacity says what the server has, as far as it tells.
func (c *Conn) capacity(ctx context.Context) string {
	a, err := c.js.AccountInfo(ctx)
	if err != nil {
		return ""
	}
	has := c.maxBytes
	if has <= 0 {
		has = a.Limits.MaxStore
	}
	if has <= 0 {
		return fmt.Sprintf(" (%s are given to streams already; the server does not tell its limit)", bytesText(int64(a.ReservedStore)))
	}
	return fmt.Sprintf(" (the server has %s and has reserved %s for streams already)", bytesText(has), bytesText(int64(a.ReservedStore)))
}
