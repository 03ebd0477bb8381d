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
		Accepted: s.log.accepted(),
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

// Streams lists the shards of a cluster that have a log, sorted by name. It does not list rooms whose data was removed.
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
	for k := range partitions {
		of, err := sharing(ctx, c, cluster, k, sharedSubject(Ref{cluster, "*", "*"}, k, "log"))
		if err != nil {
			return nil, err
		}
		refs = append(refs, of...)
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Shard, b.Shard) })
	return refs, nil
}

// sharing lists the shards with messages on a subject in a partition of logs.
func sharing(ctx context.Context, c *Conn, cluster string, k int, subject string) (refs []Ref, err error) {
	s, err := c.stream(ctx, partitionStream(cluster, k), true)
	if err == nil {
		var i *jetstream.StreamInfo
		if i, err = s.Info(ctx, jetstream.WithSubjectFilter(subject)); err == nil {
			for subject := range i.State.Subjects {
				if r, _, ok := parseSharedSubject(subject); ok {
					refs = append(refs, r)
				}
			}
			return refs, nil
		}
	}
	if isMissing(err) {
		c.forget(partitionStream(cluster, k))
		return nil, nil
	}
	return nil, fmt.Errorf("jetstream: cannot list the shards in %s: %w", partitionStream(cluster, k), err)
}

// Open opens the storage of an existing shard, wherever its log is. It refuses a log whose lineage differs from the
// given one; "" accepts any. It returns persistence.ErrNotFound if the log does not exist. It recreates a missing delta
// stream, unless c is read-only: deltas can be derived, the log cannot.
func Open(ctx context.Context, c *Conn, cluster, shard, lineage string, o Options) (*Shard, error) {
	err := checkNames(cluster, shard)
	if lineage != "" {
		err = errors.Join(err, checkLineage(lineage)) // a wildcard would open other logs too
	}
	if err != nil {
		return nil, err
	}
	found, err := o.find(ctx, c, cluster, shard, lineage)
	if err != nil {
		return nil, err
	}
	if lineage != "" && found != lineage {
		return nil, fmt.Errorf("jetstream: the log of shard %s has lineage %s, not %s: it was deleted and recreated, or belongs to another cluster", shard, found, lineage)
	}
	return open(ctx, c, Ref{cluster, shard, found}, o)
}

// Create creates the storage of a new shard and opens it. It may be repeated with the same lineage. It is refused if a
// log of another lineage exists, unless that is the log of a room that has ended.
func Create(ctx context.Context, c *Conn, cluster, shard, lineage string, o Options) (*Shard, error) {
	if err := errors.Join(checkNames(cluster, shard), checkLineage(lineage)); err != nil {
		return nil, err
	}
	where := o
	switch _, err := where.find(ctx, c, cluster, shard, lineage); {
	case err == nil:
		return Open(ctx, c, cluster, shard, lineage, o)
	case !errors.Is(err, persistence.ErrNotFound):
		return nil, err
	}
	if err := c.CheckReplicas(o.Replicas); err != nil {
		return nil, err
	}
	filled, err := o.fill(ctx, c)
	if err != nil {
		return nil, err
	}
	ref := Ref{cluster, shard, lineage}
	config, chosen := logConfig(ref, filled), filled.chosen.log
	if o.Shared {
		config, chosen = filled.logPartition(ref), false
	}
	if _, err := c.stream(ctx, config.Name, o.Shared); isMissing(err) || !o.Shared {
		if err := createStream(ctx, c, config, chosen); err != nil {
			return nil, err
		}
		if _, err := c.made(ctx, config.Name); err != nil {
			return nil, fmt.Errorf("jetstream: cannot open the log %s: %w", config.Name, err)
		}
	}
	if !o.Shared {
		return Open(ctx, c, cluster, shard, lineage, o)
	}
	return open(ctx, c, ref, o) // its first record makes it exist
}

// CheckReplicas returns an error if the server belongs to no cluster that could keep that many copies of a new stream.
func (c *Conn) CheckReplicas(n int) error {
	if n > 1 && c.nc.ConnectedClusterName() == "" {
		return fmt.Errorf("jetstream: NATS%s is a single server and cannot keep %d copies: name a cluster of as many with --nats, or omit --replicas", at(c.nc.ConnectedAddr()), n)
	}
	return nil
}

// Find finds a shard's log, wherever it is. It returns persistence.ErrNotFound if the log does not exist.
func Find(ctx context.Context, c *Conn, cluster, shard string, o Options) (Ref, error) {
	if err := checkNames(cluster, shard); err != nil {
		return Ref{}, err
	}
	lineage, err := o.find(ctx, c, cluster, shard, "")
	return Ref{cluster, shard, lineage}, err
}

// find finds a shard's log and sets o.Shared accordingly. If logs of several lineages are in a partition, all but one
// of rooms that have ended, it returns the given lineage, or else the one that was written to last. With a lineage it
// finds the seal that Remove leaves, too.
func (o *Options) find(ctx context.Context, c *Conn, cluster, shard, lineage string) (string, error) {
	first, second := lineageOf, sharedLineageOf
	if o.Shared {
		first, second = second, first
	}
	found, err := first(ctx, c, cluster, shard, lineage)
	if !errors.Is(err, persistence.ErrNotFound) {
		return found, err
	}
	found, otherErr := second(ctx, c, cluster, shard, lineage)
	if errors.Is(otherErr, persistence.ErrNotFound) {
		return "", err
	}
	o.Shared = !o.Shared
	return found, otherErr
}

// lineageOf returns the lineage in the subject of a shard's own log.
func lineageOf(ctx context.Context, c *Conn, cluster, shard, _ string) (string, error) {
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

// sharedLineageOf returns the lineage in the subject of a shard's log in a partition.
func sharedLineageOf(ctx context.Context, c *Conn, cluster, shard, lineage string) (string, error) {
	k := partitionOf(shard)
	name := partitionStream(cluster, k)
	missing := func() (string, error) {
		return "", fmt.Errorf("%w: no log of shard %s in cluster %s (stream %s)", persistence.ErrNotFound, shard, cluster, name)
	}
	s, err := c.stream(ctx, name, true)
	if err == nil && lineage != "" {
		if _, err = s.GetLastMsgForSubject(ctx, sharedSubject(Ref{cluster, shard, lineage}, k, ">")); err == nil {
			return lineage, nil
		}
	}
	var m *jetstream.RawStreamMsg
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
		m, err = s.GetLastMsgForSubject(ctx, sharedSubject(Ref{cluster, shard, "*"}, k, "log"))
	}
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // or nothing but a seal is left
		return missing()
	case isMissing(err):
		c.forget(name)
		return missing()
	case err != nil:
		return "", fmt.Errorf("jetstream: cannot open the log of shard %s in %s: %w", shard, name, err)
	}
	r, _, ok := parseSharedSubject(m.Subject)
	if !ok {
		return "", fmt.Errorf("jetstream: stream %s has a message on %s, which belongs to no log", name, m.Subject)
	}
	if lineage == "" {
		return r.Lineage, nil
	}
	if _, err := s.GetLastMsgForSubject(ctx, sharedSubject(r, k, sealSuffix)); err == nil {
		return missing() // a room of this name has ended; another may begin
	}
	return r.Lineage, nil
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

// logPartition is the configuration of the partition that a shard's log is in.
func (o *Options) logPartition(r Ref) jetstream.StreamConfig {
	k, all := partitionOf(r.Shard), Ref{r.Cluster, "*", "*"}
	config := logConfig(r, *o)
	config.Name, config.MaxBytes = partitionStream(r.Cluster, k), o.partition.log
	config.Subjects = []string{noteSubject(all, k), sharedSubject(all, k, "log"), sharedSubject(all, k, sealSuffix)}
	config.Description = fmt.Sprintf("Wind: the logs of rooms, partition %d of %d", k, partitions)
	return config
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

// deltaPartition is the configuration of the partition that a shard's deltas are in.
func (o *Options) deltaPartition(r Ref) jetstream.StreamConfig {
	k := partitionOf(r.Shard)
	config := deltaConfig(r, *o)
	config.Name, config.MaxBytes = partitionDeltaStream(r.Cluster, k), o.partition.deltas
	config.Subjects = []string{sharedSubject(Ref{r.Cluster, "*", "*"}, k, "delta")}
	config.Description = fmt.Sprintf("Wind: what the ticks of rooms changed, partition %d of %d", k, partitions)
	return config
}
