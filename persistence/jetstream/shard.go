package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Ref names a shard whose log is stored.
type Ref struct {
	Cluster, Shard, Lineage string
}

// Shard is the storage of one shard: its log, its delta stream and its
// snapshots. The three may be used concurrently with one another.
type Shard struct {
	ref       Ref
	log       *Log
	deltas    *Deltas
	snapshots *Snapshots
	known     []persistence.Finding // found in the original files of a copy
}

// Ref returns the shard's cluster, name and lineage.
func (s *Shard) Ref() Ref { return s.ref }

// Log returns the shard's log.
func (s *Shard) Log() *Log { return s.log }

// Deltas returns the shard's delta stream. It returns nil in a copy of the log alone, with Options.NoDeltas, and to a
// reader if the stream does not exist.
func (s *Shard) Deltas() *Deltas { return s.deltas }

// Snapshots returns the shard's snapshots.
func (s *Shard) Snapshots() *Snapshots { return s.snapshots }

// Copies says how many copies the servers keep of a shard's streams; 0: the stream does not exist.
type Copies struct{ Log, Deltas, Snapshots int }

// Copies returns the numbers that the streams had when they were opened.
func (s *Shard) Copies() Copies {
	c := Copies{Log: s.log.Replicas()}
	if s.deltas != nil {
		c.Deltas = s.deltas.stream.CachedInfo().Config.Replicas
	}
	if s.snapshots != nil && s.snapshots.objects != nil {
		c.Snapshots = s.snapshots.objects.stream.CachedInfo().Config.Replicas
	}
	return c
}

// Source returns the shard in the form that package persistence reads, checks and replays.
func (s *Shard) Source() persistence.Source {
	src := persistence.Source{
		Log: s.log, Snapshots: s.snapshots, Lineage: s.ref.Lineage,
		Accepted: parseAccepted(s.log.stream.CachedInfo().Config.Metadata),
		Follow:   s.log.Follow, MessageOverhead: s.log.MessageOverhead(), Known: s.known,
	}
	if s.deltas != nil { // a copy may have none
		src.Deltas = s.deltas
	}
	return src
}

// Close releases the shard's subscriptions and files.
func (s *Shard) Close() {
	s.log.close()
	if s.deltas != nil {
		s.deltas.close()
	}
}

// Streams lists the shards of a cluster that have a log, sorted by name.
func Streams(ctx context.Context, c *Conn, cluster string) (refs []Ref, err error) {
	if err := persistence.ValidShardName(cluster); err != nil {
		return nil, fmt.Errorf("jetstream: cluster: %w", err)
	}
	ctx, end := ask(ctx, "list the streams of cluster %s", cluster)
	defer end(&err)
	l := c.js.ListStreams(ctx, jetstream.WithStreamListSubject(logSubject(cluster, "*", "*")))
	for info := range l.Info() {
		for _, subject := range info.Config.Subjects {
			if cluster, shard, lineage, ok := parseLogSubject(subject); ok && info.Config.Name == logStream(cluster, shard) {
				refs = append(refs, Ref{cluster, shard, lineage})
			}
		}
	}
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("jetstream: cannot list the streams of cluster %s: %w", cluster, err)
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Shard, b.Shard) })
	return refs, nil
}

// Open opens the storage of an existing shard. It refuses a log whose lineage differs from the given one; "" accepts
// any. It returns persistence.ErrNotFound if the log does not exist. It recreates a missing delta stream, unless c is
// read-only: deltas can be derived, the log cannot.
func Open(ctx context.Context, c *Conn, cluster, shard, lineage string, o Options) (*Shard, error) {
	if err := checkNames(cluster, shard); err != nil {
		return nil, err
	}
	found, err := lineageOf(ctx, c, cluster, shard)
	if err != nil {
		return nil, err
	}
	if lineage != "" && found != lineage {
		return nil, fmt.Errorf("jetstream: the log %s has lineage %s, not %s: it was deleted and recreated, or belongs to another cluster", logStream(cluster, shard), found, lineage)
	}
	return open(ctx, c, Ref{cluster, shard, found}, o)
}

// Create creates the storage of a new shard and opens it. It may be repeated with the same lineage. It is refused if a
// log of another lineage exists.
func Create(ctx context.Context, c *Conn, cluster, shard, lineage string, o Options) (*Shard, error) {
	if err := errors.Join(checkNames(cluster, shard), checkLineage(lineage)); err != nil {
		return nil, err
	}
	_, err := lineageOf(ctx, c, cluster, shard)
	if errors.Is(err, persistence.ErrNotFound) {
		var filled Options
		if err = c.CheckReplicas(o.Replicas); err == nil {
			filled, err = o.fill(ctx, c)
		}
		if err == nil {
			err = createStream(ctx, c, logConfig(Ref{cluster, shard, lineage}, filled), filled.chosen.log)
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := c.made(ctx, logStream(cluster, shard)); err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the log %s: %w", logStream(cluster, shard), err)
	}
	return Open(ctx, c, cluster, shard, lineage, o)
}

// CheckReplicas returns an error if the server belongs to no cluster that could keep that many copies of a new stream.
func (c *Conn) CheckReplicas(n int) error {
	if n > 1 && c.nc.ConnectedClusterName() == "" {
		return fmt.Errorf("jetstream: NATS%s is a single server and cannot keep %d copies: name a cluster of as many with --nats, or omit --replicas", at(c.nc.ConnectedAddr()), n)
	}
	return nil
}

// lineageOf returns the lineage in the subject of a shard's log.
func lineageOf(ctx context.Context, c *Conn, cluster, shard string) (string, error) {
	name := logStream(cluster, shard)
	s, err := c.js.Stream(ctx, name)
	if isMissing(err) {
		return "", fmt.Errorf("%w: no log of shard %s in cluster %s (stream %s)", persistence.ErrNotFound, shard, cluster, name)
	}
	if err != nil {
		return "", fmt.Errorf("jetstream: cannot open the log %s: %w", name, err)
	}
	config := s.CachedInfo().Config
	if len(config.Subjects) == 1 {
		if c, s, lineage, ok := parseLogSubject(config.Subjects[0]); ok && c == cluster && s == shard {
			return lineage, nil
		}
	}
	return "", fmt.Errorf("jetstream: stream %s has the subjects %v, but a log has only wind.%s.%s.<lineage>.log", name, config.Subjects, cluster, shard)
}

func open(ctx context.Context, c *Conn, ref Ref, o Options) (*Shard, error) {
	o, err := o.fill(ctx, c)
	if err != nil {
		return nil, err
	}
	s := &Shard{ref: ref}
	if err := o.apply(ctx, c, ref); err != nil {
		return nil, err
	}
	if s.log, err = openLog(ctx, c, ref, o); err != nil {
		return nil, err
	}
	if !o.NoDeltas {
		if s.deltas, err = openDeltas(ctx, c, ref, o); err != nil {
			s.log.close()
			return nil, err
		}
	}
	if s.snapshots, err = openSnapshots(ctx, c, ref, o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// logConfig is the configuration of a log. A full log refuses records instead of dropping old ones, no record can be
// deleted singly, and reads go only to its leader.
func logConfig(r Ref, o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: logStream(r.Cluster, r.Shard), Subjects: []string{logSubject(r.Cluster, r.Shard, r.Lineage)},
		Description: "Wind: the log of shard " + r.Shard + ": genesis, epochs and every committed tick",
		Storage:     jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Replicas: o.Replicas,
		Discard: jetstream.DiscardNew, MaxBytes: o.LogBytes, MaxMsgSize: -1, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1,
		DenyDelete: true,
	}
}

// deltaConfig is the configuration of a delta stream. Deltas can be derived, so a full stream drops the oldest.
func deltaConfig(r Ref, o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: deltaStream(r.Cluster, r.Shard), Subjects: []string{deltaSubject(r.Cluster, r.Shard, r.Lineage)},
		Description: "Wind: what each committed tick of shard " + r.Shard + " changed",
		Storage:     jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Replicas: o.Replicas,
		Discard: jetstream.DiscardOld, MaxBytes: o.DeltaBytes, MaxAge: o.DeltaAge,
		MaxMsgSize: -1, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1,
	}
}
