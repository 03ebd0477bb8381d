package node

import (
	"context"
	"log/slog"
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
		told := map[shard.ConditionKind]shard.Condition{}
		for {
			told = tell(n.config.Log, told, n.Stats().Conditions)
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// tell logs the difference between what was told and what holds now, and returns what is told then.
func tell(log *slog.Logger, told map[shard.ConditionKind]shard.Condition, now []shard.Condition) map[shard.ConditionKind]shard.Condition {
	holds := make(map[shard.ConditionKind]shard.Condition, len(now))
	for _, c := range now {
		holds[c.Kind] = c
		if _, known := told[c.Kind]; known {
			continue
		}
		level := slog.LevelWarn
		if c.Stops {
			level = slog.LevelError
		}
		log.Log(context.Background(), level, c.Text, "condition", string(c.Kind))
	}
	for _, kind := range shard.ConditionKinds {
		if c, known := told[kind]; known {
			if _, still := holds[kind]; !still {
				log.Info("this is over", "condition", string(kind), "after", time.Since(c.Since).Round(100*time.Millisecond))
			}
		}
	}
	return holds
}
