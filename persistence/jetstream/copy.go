package jetstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/wait"
)

// CopyOptions select what to copy from a store, and where to.
type CopyOptions struct {
	Cluster, Shard string       // "": all of them
	LogOnly        bool         // neither delta streams nor snapshots
	Temp           string       // the parent of the copy; "": the directory for temporary files
	Logger         *slog.Logger // nil: slog.Default()

	stream string // "": all of them
}

// Copy is a copy of a store, opened for reading without network. Close removes the copy. The original is never written
// to.
type Copy struct {
	dir    *TempDir
	from   string
	opts   CopyOptions
	server *Server
	conn   *Conn
}

// copyStore copies the streams that o selects, and the marks beside them, into the directory to. The caller holds the
// store so that it cannot change.
func copyStore(ctx context.Context, store, to string, o CopyOptions) error {
	streams, err := os.ReadDir(filepath.Join(store, accountDir))
	if err != nil {
		return fmt.Errorf("jetstream: %s holds no store: %w", store, err)
	}
	var wanted []string
	var size int64
	for _, s := range streams {
		if !o.wants(s.Name()) {
			continue
		}
		n, err := dirBytes(filepath.Join(store, accountDir, s.Name()))
		if err != nil {
			return fmt.Errorf("jetstream: cannot read the store: %w", err)
		}
		wanted, size = append(wanted, filepath.Join(accountDir, s.Name())), size+n
	}
	if free := freeBytes(filepath.Dir(to)); size > free {
		return fmt.Errorf("jetstream: a copy of %s takes %d MiB, but %s has only %d MiB free: point TMPDIR to a larger disk", store, size>>20, filepath.Dir(to), free>>20)
	}
	for _, dir := range append(wanted, marksDir) {
		pick := copyFile
		if prefix, ok := sharedBy(filepath.Base(dir)); ok && o.Shard != "" {
			pick = rowsOnly(filepath.Base(dir), prefix+o.Shard+".")
		}
		if err := copyDir(ctx, filepath.Join(store, dir), filepath.Join(to, dir), pick); err != nil {
			return fmt.Errorf("jetstream: cannot copy the store: %w", err)
		}
	}
	return nil
}

// wants reports whether o selects a stream.
func (o CopyOptions) wants(stream string) bool {
	if o.stream != "" && o.stream != stream {
		return false
	}
	if bucket, ok := strings.CutPrefix(stream, objectPrefix); ok {
		cluster, isSnapshots := strings.CutSuffix(strings.TrimPrefix(bucket, streamPrefix), snapshotSuffix)
		return !o.LogOnly && isSnapshots && (o.Cluster == "" || o.Cluster == cluster)
	}
	log, isDelta := strings.CutSuffix(stream, deltaSuffix)
	if cluster, k, ok := parsePartitionStream(log); ok {
		return (!isDelta || !o.LogOnly) && (o.Cluster == "" || o.Cluster == cluster) && (o.Shard == "" || k == partitionOf(o.Shard))
	}
	cluster, shard, ok := parseLogStream(log)
	return ok && (!isDelta || !o.LogOnly) && (o.Cluster == "" || o.Cluster == cluster) && (o.Shard == "" || o.Shard == shard)
}

// rowsOnly returns a function that copies a partition's file. Of a block it copies the rows of one shard, without the
// damaged ones, and what was deleted; the index, which does not fit them, it leaves out.
func rowsOnly(stream, subjects string) func(from, to string) error {
	return func(from, to string) error {
		block, isBlock := strings.CutSuffix(filepath.Base(from), ".blk")
		if !isBlock && filepath.Base(filepath.Dir(from)) == "msgs" {
			return nil
		}
		if !isBlock {
			return copyFile(from, to)
		}
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		var some []byte
		m := mend(b, stream, keyedHash(stream+"-"+block), true)
		for at, n := 0, 0; at < len(m.whole); at += n {
			n, _ = rowLength(m.whole[at:], nil)
			row := m.whole[at : at+n]
			if binary.LittleEndian.Uint64(row[4:])&tombstoneBit != 0 || strings.HasPrefix(string(row[blockHeader:min(n, blockHeader+len(subjects))]), subjects) {
				some = append(some, row...)
			}
		}
		return os.WriteFile(to, some, 0o600)
	}
}

// copyDir copies a directory's files with a function. A missing directory counts as empty. The consumers of readers are
// not copied.
func copyDir(ctx context.Context, from, to string, file func(from, to string) error) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "obs" {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return file(path, filepath.Join(to, rel))
	})
}

// copyFile has the system copy the file, which shares blocks if it can.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// OpenCopy copies a store and opens the copy for reading. The logs that it opens know the result of inspecting the
// original's files: Last reports how far the log is known to have reached, and Read returns an error at the record that
// is damaged or missing.
func OpenCopy(ctx context.Context, store string, o CopyOptions) (*Copy, error) {
	unlock, err := holdStore(store)
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir, err := NewTempDir(o.Temp)
	if err != nil {
		return nil, fmt.Errorf("jetstream: no room for a copy of the store: %w", err)
	}
	c := &Copy{dir: dir, from: store, opts: o}
	if err := c.start(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Copy) start(ctx context.Context) error {
	if err := copyStore(ctx, c.from, filepath.Join(c.dir.Path, "store"), c.opts); err != nil {
		return err
	}
	if err := tame(filepath.Join(c.dir.Path, "store")); err != nil {
		return fmt.Errorf("jetstream: cannot look through the copy of the store: %w", err)
	}
	var err error
	config := ServerConfig{Dir: filepath.Join(c.dir.Path, "store"), Port: -1, Logger: c.opts.Logger, unguarded: true}
	if c.server, err = wait.Call(ctx, wait.NATS, 2*startTimeout, "start a server on a copy of "+c.from, func() (*Server, error) { return StartServer(config) }, (*Server).Close); err != nil {
		return err
	}
	if c.conn, err = c.server.Connect(ctx); err != nil {
		return err
	}
	c.conn.readOnly, c.conn.dir = true, ""
	return nil
}

// logsIn lists the shards in a store whose logs o selects.
func logsIn(store string, o CopyOptions) (refs []Ref, err error) {
	own, err := shardsIn(store)
	if err != nil {
		return nil, err
	}
	rooms, err := roomsIn(store, o)
	for _, r := range slices.Concat(own, rooms) {
		if (o.Cluster == "" || o.Cluster == r.Cluster) && (o.Shard == "" || o.Shard == r.Shard) {
			refs = append(refs, r)
		}
	}
	return refs, err
}

// ShardsIn lists the shards whose logs are in a data directory. It only reads. The lineage of a shard with a stream of its
// own is empty.
func ShardsIn(dir string) ([]Ref, error) {
	unlock, err := holdStore(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	refs, err := logsIn(dir, CopyOptions{})
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot read the store directory: %w", err)
	}
	return refs, nil
}

// tame keeps damage in a copy from its server. It reports nothing about what it truncates and moves aside: the caller
// reads the original's files and reports their damage.
func tame(store string) error {
	if err := cutDamage(store); err != nil {
		return err
	}
	_, err := guardStore(store)
	return err
}

// Conn returns the connection to the copy's server.
func (c *Copy) Conn() *Conn { return c.conn }

// Open opens a shard of the copy and proves its log's files. The state tells how far the log reaches and what is known
// of it. Open does not fail on damage: reading the log returns it, and a check of the shard's Source finds the damage
// beside the log.
func (c *Copy) Open(ctx context.Context, cluster, shard string) (*Shard, StoreState, error) {
	if err := checkNames(cluster, shard); err != nil {
		return nil, StoreState{}, err
	}
	state, damage := inspectAny(ctx, c.from, Ref{Cluster: cluster, Shard: shard})
	lost := asLost(c.from, state, damage)
	if damage != nil && lost == nil {
		return nil, state, fmt.Errorf("jetstream: cannot check the log of shard %s: %w", shard, damage)
	}
	f := &flaw{last: state.Known, lost: lost}
	if lost != nil {
		f.last = max(f.last, lost.Seq) // reading reports it
	}
	s, err := c.open(ctx, state.Ref, f)
	if errors.Is(err, persistence.ErrNotFound) && lost != nil {
		err = lost // the server does not even find the stream
	}
	if err == nil && !c.opts.LogOnly {
		if s.known, err = examine(ctx, c.from, state); err != nil {
			s.Close()
			return nil, state, fmt.Errorf("jetstream: cannot look through the store of shard %s: %w", shard, err)
		}
	}
	return s, state, err
}

func (c *Copy) open(ctx context.Context, ref Ref, f *flaw) (*Shard, error) {
	var o Options
	lineage, err := o.find(ctx, c.conn, ref.Cluster, ref.Shard, ref.Lineage)
	if err != nil {
		return nil, err
	}
	ref.Lineage = lineage
	s := &Shard{ref: ref}
	if s.log, err = openLog(ctx, c.conn, ref, o); err != nil {
		return nil, err
	}
	s.log.flaw = f
	if c.opts.LogOnly {
		s.snapshots = &Snapshots{ref: ref, logger: c.conn.logger}
		return s, nil
	}
	if s.deltas, err = openDeltas(ctx, c.conn, ref, o); err == nil {
		s.snapshots, err = openSnapshots(ctx, c.conn, ref, o)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close stops the copy's server and removes the copy.
func (c *Copy) Close() {
	if c.conn != nil {
		c.conn.Close()
	}
	if c.server != nil {
		c.server.Close()
	}
	_ = c.dir.Remove()
}
