package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/ferris1/wind/shard"
)

// tellEvery is how often the node looks what is the matter with it, for its log.
const tellEvery = 500 * time.Millisecond

// tellConditions puts into the log what is the matter with the node and its shard, as /healthz shows it: when a condition
// begins, and when it is over.
func (n *Node) tellConditions() {
	n.alongside(func(ctx context.Context) {
		look := time.NewTicker(tellEvery)
		defer look.Stop()
		known := map[shard.ConditionKind]told{}
		for {
			tell(n.config.Log, known, n.Stats().Conditions, time.Now())
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// overAfter is how long a condition must be gone before it counts as over: between two tries of what fails it is gone for
// a moment.
const overAfter = 4 * time.Second

// told is a condition that the log knows of.
type told struct {
	shard.Condition
	gone time.Time // since when it holds no more; zero while it holds
}

// tell logs what has begun and what is over by now, and keeps in known what was told.
func tell(log *slog.Logger, known map[shard.ConditionKind]told, holds []shard.Condition, now time.Time) {
	for _, c := range holds {
		if _, ok := known[c.Kind]; !ok {
			level := slog.LevelWarn
			if c.Stops {
				level = slog.LevelError
			}
			log.Log(context.Background(), level, c.Text, "condition", string(c.Kind))
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
			log.Info("this is over", "condition", string(kind), "after", c.gone.Sub(c.Since).Round(100*time.Millisecond))
			delete(known, kind)
		}
	}
}
