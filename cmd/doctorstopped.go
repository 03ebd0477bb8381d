package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// examineStopped reports what a node would meet on a data directory that no node uses. It opens copies and leaves the
// directory unchanged.
func (r *report) examineStopped(ctx context.Context, a *app, f *nodeFlags) {
	store := node.StoreDir(f.data)
	states, err := jetstream.CheckStore(ctx, store)
	if err != nil {
		r.damaged(err)
		return
	}
	for _, s := range states {
		if s.Damage != nil {
			r.say("room "+s.Shard, "warn", "%v", s.Damage)
		}
	}
	err = r.examineLeases(ctx, a, f)
	if f.shard == "" { // what ails a room keeps no node from starting
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.found("", "etcd", err)
		}
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.say("shard "+f.shard, "ok", "no node has run on %s yet", f.data)
		if _, err := os.Stat(store); err != nil {
			return // nothing was imported either
		}
	} else if err != nil {
		r.found(f.shard, "etcd", err)
	}
	if err := r.examineLog(ctx, a, f); err != nil {
		r.found(f.shard, "log", err)
	}
}

// damaged reports why no node can start on the directory, in the words of a failed start. The error names what to do:
// without a running node, no loss can be accepted.
func (r *report) damaged(err error) {
	if kind := shard.ConditionOf(err); kind != "" {
		err = fmt.Errorf("%s: %w", kind, err)
	}
	r.say("log", "fail", "%v", err)
}

// found reports an obstacle to a start under the condition that a node would report.
func (r *report) found(name, check string, err error) {
	kind := shard.ConditionOf(err)
	if kind == "" {
		kind = node.Unanswered(err)
	}
	if kind != "" {
		r.say(check, "fail", "%s: %s", kind, shard.Sentence(kind, name, err.Error()))
		return
	}
	r.say(check, "fail", "%v", err)
}

// examineLeases checks whether etcd's store can be read, and whether the shard is halted, if there is one.
func (r *report) examineLeases(ctx context.Context, a *app, f *nodeFlags) error {
	leases, err := node.OpenLeases(ctx, f.data, false, a.log)
	if err != nil {
		return err
	}
	defer func() { _ = leases.Close() }() // it is a copy
	if f.shard == "" {
		return nil
	}
	s, err := etcd.Look(leases.Etcd, f.cluster, f.shard)
	if err != nil {
		return err
	}
	standing, err := s.Read(ctx)
	if err != nil {
		return err
	}
	standing.Owner = "" // its process is gone
	r.examineStanding(f.shard, standing)
	return nil
}

// examineLog checks whether this build can read the shard's log, and how full the log is.
func (r *report) examineLog(ctx context.Context, a *app, f *nodeFlags) error {
	held, err := jetstream.OpenCopy(ctx, filepath.Join(f.data, "nats"), jetstream.CopyOptions{Cluster: f.cluster, Shard: f.shard, Logger: a.log})
	if errors.Is(err, fs.ErrNotExist) {
		return node.LogGone(f.shard, r.standing, false) // a start ended before it made a stream
	}
	if err != nil {
		return err
	}
	defer held.Close()
	s, _, err := held.Open(ctx, f.cluster, f.shard)
	if errors.Is(err, persistence.ErrNotFound) {
		return node.LogGone(f.shard, r.standing, false) // the directory has other shards
	}
	if err != nil {
		return err
	}
	return r.examineHeld(ctx, a, f, s)
}

// examineHeld compares a shard's log with the game, and reports how full it is.
func (r *report) examineHeld(ctx context.Context, a *app, f *nodeFlags, s *jetstream.Shard) error {
	e, err := s.Log().Extent(ctx)
	if err != nil {
		return err
	}
	if e.Limit > 0 {
		r.examineFill(f.shard, e.Used, e.Limit)
	}
	recorded, err := persistence.ReadRecorded(ctx, s.Log(), s.Snapshots())
	if err != nil {
		return err
	}
	return first(recorded.CarriedBy(a.game), shard.SameRate(recorded.Genesis, a.game))
}

// examineFill reports how full the log is. No node claims a shard whose log is over 95 % full.
func (r *report) examineFill(name string, used, limit int64) {
	percent := float64(used) * 100 / float64(limit)
	detail := fmt.Sprintf("%.1f %% of its %d MiB is used", percent, limit>>20)
	switch {
	case percent > 95:
		r.say("log", "fail", "%s: %s", shard.LogFull, shard.Sentence(shard.LogFull, name, detail))
	case percent > 80:
		r.say("log", "warn", "%s: %s", shard.LogFull, shard.Sentence(shard.LogFull, name, detail))
	default:
		r.say("log", "ok", "%s", detail)
	}
}
