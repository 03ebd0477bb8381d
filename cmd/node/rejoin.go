package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// unanswered returns the condition for an error of a server that does not answer, or "" for any other error.
func unanswered(err error) shard.ConditionKind {
	var late *wait.Error
	switch {
	case errors.As(err, &late) && late.Server == wait.Etcd:
		return shard.AwaitsEtcd
	case late != nil, jetstream.Unanswered(err):
		return shard.AwaitsNATS
	case etcd.Unanswered(err):
		return shard.AwaitsEtcd
	}
	return ""
}

// Timing of a start's waits.
const (
	sayAfter    = 2 * time.Second        // before a wait becomes a condition
	startPauses = 100 * time.Millisecond // the first pause; doubles up to startPause
	startPause  = 2 * time.Second
)

// startAwaits are the conditions during which a start waits.
var startAwaits = []shard.ConditionKind{shard.AwaitsNATS, shard.AwaitsEtcd, shard.HistoryLost}

// ErrInterrupted reports that the context of a start ended while it waited for NATS, etcd or room on the disk.
var ErrInterrupted = errors.New("stopped before it began")

// awaits records which server the current step of the start waits for; "" if it waits for neither.
func (n *Node) awaits(kind shard.ConditionKind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.awaited = kind
}

// patiently repeats a step of the start while servers do not answer: servers that are down or elect a leader come back,
// and the node starts then. Any other error ends it at once.
func (n *Node) patiently(ctx context.Context, step func(context.Context) error) error {
	open, pause, began := len(n.closers), startPauses, time.Now()
	var last error
	say := func() {
		n.mu.Lock()
		for _, kind := range []shard.ConditionKind{unanswered(last), shard.ConditionOf(last)} {
			if kind != "" {
				n.awaited = kind
			}
		}
		kind, why := n.awaited, map[shard.ConditionKind]string{shard.AwaitsNATS: "NATS does not answer", shard.AwaitsEtcd: "etcd does not answer"}[n.awaited]
		if last != nil {
			why = last.Error()
		}
		n.mu.Unlock()
		if kind == "" {
			return
		}
		text := shard.Sentence(kind, n.config.Shard, fmt.Sprintf("node %s has been unable to start since %s: %s", n.config.ID, began.Format(time.TimeOnly), why))
		for _, other := range startAwaits {
			if other != kind {
				n.conditions.Clear(other)
			}
		}
		n.conditions.Raise(kind, true, text)
	}
	timer := time.AfterFunc(sayAfter, say)
	defer func() {
		timer.Stop()
		n.conditions.Clear(startAwaits...)
	}()
	for {
		err := step(ctx)
		if err == nil {
			if waited := time.Since(began); waited > sayAfter {
				n.config.Logger.Info("NATS and etcd answer: the node starts", "waited", waited.Round(time.Millisecond))
			}
			return nil
		}
		if closeErr := n.closeTo(open); closeErr != nil {
			n.config.Logger.Debug("cannot close what an attempt to start had opened", "error", closeErr)
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrInterrupted, err)
		case !passes(err):
			return err
		case n.config.Patience > 0 && time.Since(began) > n.config.Patience:
			return fmt.Errorf("given up after %s: %w", n.config.Patience, err)
		}
		n.mu.Lock()
		last = err
		n.mu.Unlock()
		if time.Since(began) > sayAfter {
			say()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrInterrupted, err)
		case <-time.After(pause):
		}
		pause = min(2*pause, startPause)
	}
}

// passes reports whether a later attempt may succeed after an error of a start. It includes a lost log, which an
// operator may restore.
func passes(err error) bool {
	return errors.Is(err, persistence.ErrLost) || unanswered(err) != ""
}

// Unanswered returns the condition for an error of a server that does not answer, or "" for any other error and for nil.
func Unanswered(err error) shard.ConditionKind {
	if err == nil {
		return ""
	}
	return unanswered(err)
}
