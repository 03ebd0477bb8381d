package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Default limits of a shard's storage. A limit is reserved in the server's bookkeeping, not on the disk.
const (
	DefaultLogBytes      = 8 << 30 // some days of 50 players; when it fills, records older than a proven snapshot are purged
	DefaultDeltaBytes    = 4 << 30
	DefaultSnapshotBytes = 2 << 30  // of a cluster's snapshots together
	DefaultSharedBytes   = 64 << 20 // of each, log and deltas, in a partition; nothing is reserved for it
	partitionBytes       = 64 << 20 // of all logs in a new partition, or all deltas; it grows
	maxPartitionDeltas   = 1 << 30  // beyond this a partition of deltas does not grow
	MinLogBytes          = 1 << 20  // least limit that an operator may set: room for one large record
	leastDefault         = 8 << 20  // least limit on a small server
	peersTimeout         = 10 * time.Second
)

// Options are a shard's storage settings. The zero value is the default. Replicas and SnapshotBytes apply only when the
// streams are created. The limits of log and deltas, if set, apply to existing streams as well.
//
// In a partition, LogBytes and DeltaBytes limit the shard's own part. The streams have limits of their own, which are
// reserved once for all shards and grow with their contents. Whoever creates the delta partition decides how long its deltas are kept (DeltaAge).
type Options struct {
	Shared        bool          // Create: in the partitions, for rooms; Open: look there first
	Replicas      int           // 1 or 3; 0: 1
	LogBytes      int64         // beyond this size the log refuses records (persistence.ErrFull)
	DeltaBytes    int64         // beyond this size the delta stream drops its oldest messages
	DeltaAge      time.Duration // the delta stream drops messages older than this; 0: never for age alone
	NoDeltas      bool          // neither open nor create a delta stream
	SnapshotBytes int64         // for all snapshots of the cluster together
	AckTimeout    time.Duration // 0: DefaultAckTimeout

	chosen    struct{ log, deltas, snapshots bool } // the caller set the limit: do not lower it
	partition struct{ log, deltas int64 }           // limits of the streams that shards share
}

// fill sets the defaults, lowered to fit the server's limits.
func (o Options) fill(ctx context.Context, c *Conn) (Options, error) {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	o.chosen.log, o.chosen.deltas, o.chosen.snapshots = o.LogBytes > 0, o.DeltaBytes > 0, o.SnapshotBytes > 0
	free, err := c.storeLimit(ctx)
	if err != nil {
		return o, err
	}
	limit := func(bytes *int64, normal, share int64) {
		if *bytes == 0 {
			*bytes = normal
			if free > 0 {
				*bytes = max(min(normal, free/share), leastDefault)
			}
		}
	}
	if limit(&o.partition.log, partitionBytes, 4*partitions); o.Shared {
		o.LogBytes = cmp.Or(o.LogBytes, DefaultSharedBytes)
		o.DeltaBytes = cmp.Or(o.DeltaBytes, DefaultSharedBytes)
	}
	limit(&o.partition.deltas, partitionBytes, 8*partitions)
	limit(&o.LogBytes, DefaultLogBytes, 4)
	limit(&o.DeltaBytes, DefaultDeltaBytes, 8)
	limit(&o.SnapshotBytes, DefaultSnapshotBytes, 16)
	return o, nil
}

// storeLimit returns how many bytes the server may store, or a negative number. An external server is asked once.
func (c *Conn) storeLimit(ctx context.Context) (int64, error) {
	if c.maxBytes > 0 {
		return c.maxBytes, nil
	}
	c.mu.Lock()
	known := c.limit
	c.mu.Unlock()
	if known != 0 {
		return known, nil
	}
	a, err := c.js.AccountInfo(ctx)
	if err != nil {
		return 0, fmt.Errorf("jetstream: cannot read the account's limits: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = cmp.Or(a.Limits.MaxStore, -1) // -1: unlimited
	return c.limit, nil
}

// apply sets the caller's limits on existing streams. It never makes a log smaller than its contents: such a log would
// refuse every record.
func (o Options) apply(ctx context.Context, c *Conn, ref Ref) error {
	if c.readOnly || o.Shared {
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
			s.Duplicates = min(s.Duplicates, o.DeltaAge) // the server demands it
		}
	})
}

// resize changes the limits of a stream, if the stream exists and its limits differ. keeps says that the contents must
// fit.
func resize(ctx context.Context, c *Conn, name string, keeps bool, change func(*jetstream.StreamConfig)) error {
	s, err := c.js.Stream(ctx, name)
	if isMissing(err) {
		return nil // it will be created with these limits
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
		return fmt.Errorf("%w: the log %s holds %s and cannot be limited to %s: raise --log-bytes, or purge it first with wind log purge",
			persistence.ErrFull, name, bytesText(used), bytesText(config.MaxBytes))
	}
	return reserved(ctx, c, name, &config.MaxBytes, true, func() error {
		_, err := c.js.UpdateStream(ctx, config)
		return err
	})
}

// spared is how many times as much as a default has to fit into a server that does not report its limit, so that streams
// that are made later find room, too.
const spared = 4

// createStream creates a stream, or accepts one that exists. In a cluster that has just started, a server may not know
// the others yet: createStream waits up to peersTimeout for them. If the server does not report its limit, a default
// reserves spared times as much for a moment. A server that refuses that is small: from then on, a default is a share of
// what it is known to have room for. A cluster's servers learn late what the others have reserved, and once they have
// accepted too much, they refuse even to reserve less.
//
// The rooms of a node that begin at once wait for the one that creates their stream: a cluster may leave all but one of such
// requests without an answer.
func createStream(ctx context.Context, c *Conn, config jetstream.StreamConfig, chosen bool) error {
	c.creating.Lock()
	defer c.creating.Unlock()
	if _, err := c.js.Stream(ctx, config.Name); !isMissing(err) {
		return err
	}
	limit, err := c.storeLimit(ctx)
	if err != nil {
		return err
	}
	spare, before := !chosen && limit < 0, int64(0)
	if spare {
		a, err := c.js.AccountInfo(ctx)
		if err != nil {
			return fmt.Errorf("jetstream: cannot read what is reserved for streams: %w", err)
		}
		c.mu.Lock()
		has := c.has
		c.mu.Unlock()
		if before = int64(a.ReservedStore); has > 0 {
			config.MaxBytes = max(min(config.MaxBytes, (has-before)/spared), leastDefault)
			spare = false
		}
	}
	asked := config.MaxBytes
	if spare {
		asked *= spared
		config.MaxBytes = asked
	}
	created := false
	err = reserved(ctx, c, config.Name, &config.MaxBytes, chosen, func() error {
		_, err := c.js.CreateStream(ctx, config)
		for end := time.Now().Add(peersTimeout); noPeers(err) && time.Now().Before(end) && ctx.Err() == nil; _, err = c.js.CreateStream(ctx, config) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil // another node was faster, perhaps with another default; the code that opens it checks the settings
		}
		created = err == nil
		return err
	})
	if err != nil || !spare || !created {
		return err
	}
	if config.MaxBytes < asked {
		c.mu.Lock()
		c.has = before + config.MaxBytes
		c.mu.Unlock()
	}
	config.MaxBytes = max(config.MaxBytes/spared, leastDefault)
	return reserved(ctx, c, config.Name, &config.MaxBytes, true, func() error {
		_, err := c.js.UpdateStream(ctx, config)
		return err
	})
}

// growPause is how long one answer to whether a partition can grow holds for all its rooms.
const growPause = time.Second

// growth is the outcome of the last attempt to raise a partition's limit: nil, or persistence.ErrFull.
type growth struct {
	at  time.Time
	err error
}

// grow raises the limit of a partition that has no room for need more bytes, or is nearly full, unless another shard's owner
// was faster. It returns persistence.ErrFull if the server has no room for that. With need 0 it looks once in growPause.
func (l *lane) grow(ctx context.Context, c *Conn, need, most int64) error {
	c.growing.Lock()
	defer c.growing.Unlock()
	if last, ok := c.grown[l.name]; ok && time.Since(last.at) < growPause && (need == 0 || last.err != nil) {
		return last.err
	}
	err := l.raise(ctx, c, need, most)
	if err == nil || errors.Is(err, persistence.ErrFull) {
		if c.grown == nil {
			c.grown = map[string]growth{}
		}
		c.grown[l.name] = growth{time.Now(), err}
	}
	return err
}

// raise doubles the limit of a partition, or comes as close to that as the server has room for.
func (l *lane) raise(ctx context.Context, c *Conn, need, most int64) error {
	i, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("jetstream: cannot read the state of %s: %w", l, err)
	}
	config, limit, used := i.Config, i.Config.MaxBytes, int64(i.State.Bytes)+need
	if limit >= most || used < limit*7/8 {
		return nil
	}
	more := limit
	for limit+more < used {
		more *= 2
	}
	for enough := max(used-limit, MinLogBytes); ; more /= 2 {
		config.MaxBytes = min(limit+more, most)
		err := reserved(ctx, c, l.name, &config.MaxBytes, true, func() error {
			_, err := c.js.UpdateStream(ctx, config)
			return err
		})
		if !errors.Is(err, persistence.ErrFull) || more/2 < enough {
			return err
		}
	}
}

// made returns a stream that exists. A server of a cluster may not know it yet, if another server, asked by this node
// or by one that started at the same time, has just created it. made therefore retries for up to peersTimeout if the
// stream is not found.
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

// noPeers reports whether err means that a server does not know all servers of its cluster yet.
func noPeers(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeNoPeers && !noStorage(err)
}

// noStorage reports whether err means that a server cannot reserve a stream's limit. A cluster says so only in the
// description.
func noStorage(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeStorageExceeded || api.ErrorCode == codeInsufficient ||
		api.ErrorCode == codeNoPeers && strings.Contains(api.Description, "insufficient storage"))
}

// reserved calls reserve, which creates or changes a stream with *limit bytes. While a default does not fit, reserved
// divides it by four and tries again, so that some space is left for the shard's other streams: servers do not report
// how much they have. A cluster's servers learn only after seconds that another stream has become smaller: reserved waits
// up to peersTimeout for them. If a chosen limit does not fit, it returns an error with the sizes.
func reserved(ctx context.Context, c *Conn, name string, limit *int64, chosen bool, reserve func() error) error {
	asked := *limit
	err := reserve()
	for end := time.Now().Add(peersTimeout); noStorage(err) && !chosen; err = reserve() {
		if *limit/4 >= leastDefault {
			*limit /= 4
			continue
		}
		if c.nc.ConnectedClusterName() == "" || time.Now().After(end) || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
		*limit = asked
	}
	if noStorage(err) {
		return fmt.Errorf("%w: no room for the %s to reserve for stream %s%s: raise the server's limit (max_file_store, or a larger disk), or lower those of the streams (--log-bytes, --delta-bytes)",
			persistence.ErrFull, bytesText(*limit), name, c.capacity(ctx))
	}
	if err != nil {
		return fmt.Errorf("jetstream: cannot make or change stream %s: %w", name, err)
	}
	return nil
}

// capacity describes the server's storage limit and reservations, as far as it reports them.
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
		return fmt.Sprintf(" (%s are already reserved for streams; the server does not report its limit)", bytesText(int64(a.ReservedStore)))
	}
	return fmt.Sprintf(" (the server has %s and has already reserved %s for streams)", bytesText(has), bytesText(int64(a.ReservedStore)))
}
