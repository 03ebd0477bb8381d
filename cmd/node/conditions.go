package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/ferris1/wind/shard"
)

// tellEvery is how often the node checks its conditions for its log.
const tellEvery = 500 * time.Millisecond

// tellConditions logs when a condition of the node and its shard begins and when it is over. /healthz shows the same
// conditions. Clients learn from it that the shard's step does not end: the loop that would admit them cannot say so.
func (n *Node) tellConditions() {
	n.alongside(func(ctx context.Context) {
		look := time.NewTicker(tellEvery)
		defer look.Stop()
		known := map[shard.ConditionKind]told{}
		for {
			s := n.Stats()
			tell(n.config.Logger, known, s.Conditions, time.Now())
			if n.standing != nil {
				n.standing.clients.SetHung(hangsAs(s.Host.Conditions) != "")
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// overAfter is how long a condition must be gone before it counts as over: it disappears briefly between two attempts
// of an operation that fails.
const overAfter = 4 * time.Second

// lingering is the condition that ended the last host. It is reported while the next host tries, until that host owns the
// shard or reports a condition of its own: nobody who looks between two attempts that fail may read that all is well.
type lingering struct {
	shard.Condition
	until time.Time
}

// with returns the conditions of a host that runs after the one that the condition ended.
func (l lingering) with(host []shard.Condition, owns bool, now time.Time) []shard.Condition {
	if len(host) > 0 || owns || !now.Before(l.until) {
		return host
	}
	return []shard.Condition{l.Condition}
}

// hangsAs returns the text of the condition that a step of the host's shard does not end; "": it does.
func hangsAs(host []shard.Condition) string {
	for _, c := range host {
		if c.Kind == shard.Hung {
			return c.Text
		}
	}
	return ""
}

// registerHung writes into the node's entry in the cluster that its shard's step hangs, and what it runs, until it no longer does.
func (n *Node) registerHung() {
	told := ""
	n.alongside(func(ctx context.Context) {
		every(ctx, tellEvery, func() {
			what := hangsAs(n.Stats().Host.Conditions)
			if what == told {
				return
			}
			if err := n.member.SetHung(ctx, what); err != nil {
				n.config.Logger.Debug("the node's entry does not say whether its shard hangs", "error", err)
				return
			}
			told = what
		})
	})
}

// told is a condition that was logged.
type told struct {
	shard.Condition
	gone time.Time // when it ended; zero while it lasts
}

// tell logs the conditions that have begun or are over, and keeps the logged ones in known.
func tell(logger *slog.Logger, known map[shard.ConditionKind]told, holds []shard.Condition, now time.Time) {
	for _, c := range holds {
		if _, ok := known[c.Kind]; !ok {
			level := slog.LevelWarn
			if c.Stops {
				level = slog.LevelError
			}
			logger.Log(context.Background(), level, c.Text, "condition", string(c.Kind))
		}
		known[c.Kind] = told{Condition: c}
	}
	for _, kind := range shard.ConditionKinds {
		c, ok := known[kind]
		switch still := slices.ContainsFunc(holds, func(h shard.Condition) bool { return h.Kind == kind }); {
		case !ok || still:
		case c.gone.IsZero():
			c.gone = now
			known[kind] = c
		case now.Sub(c.gone) >= overAfter:
			logger.Info("the condition is over", "condition", string(kind), "after", c.gone.Sub(c.Since).Round(100*time.Millisecond))
			delete(known, kind)
		}
	}
}
