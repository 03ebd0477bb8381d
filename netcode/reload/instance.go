package reload

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ferris1/wind/systems/script"
)

// How often an instance looks at the store beside watching it, and how long one call of the store may take.
const (
	lookEvery    = 10 * time.Second
	storeTimeout = 5 * time.Second
)

// InstanceConfig is an instance of a service that can be reloaded.
type InstanceConfig struct {
	Type, ID string
	Modules  []script.Module // that it comes with
	Store    Store
	Insist   bool // it runs Modules, whatever the store keeps, and the others follow
	// Make makes what the instance runs, with modules. An error says that they do not fit.
	Make   func(modules []script.Module) (Runtime, error)
	Logger *slog.Logger // nil: slog.Default()
}

// Instance drives the [Follower] of one instance: it does what its actions say, and hands back what came of them. Its
// methods may be called concurrently.
type Instance struct {
	cfg InstanceConfig
	key string

	mu       sync.Mutex // of the follower: its runtime is changed under it, too
	follower *Follower
}

// Start begins with what the store keeps for instances that came with the same modules, or with those.
func Start(ctx context.Context, c InstanceConfig) (*Instance, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	i := &Instance{cfg: c, key: Key(c.Type, c.Modules), follower: NewFollower(c.ID, c.Modules)}
	_, err := i.drive(ctx, Event{Kind: EventStart, Insist: c.Insist})
	return i, err
}

// Generation is that of the scripts in force; 0: those that the instance came with.
func (i *Instance) Generation() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.follower.Generation()
}

// Handle does a step that a coordinator asks for, and returns the answer as JSON.
func (i *Instance) Handle(ctx context.Context, op Op, body []byte) ([]byte, error) {
	step := Step{Op: op}
	if op != OpScripts {
		var err error
		if step, err = ParseStep(op, body); err != nil {
			return nil, err
		}
	}
	answer, err := i.drive(ctx, Event{Kind: EventAsked, Step: step})
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}

// Follow puts in force what a reload did not bring here, and keeps in the store what it lost, until ctx ends.
func (i *Instance) Follow(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		for ctx.Err() == nil {
			err := i.cfg.Store.Watch(ctx, i.key, func(value []byte, _ uint64) {
				_, _ = i.drive(ctx, Event{Kind: EventTold, Entry: i.parse(value)})
			})
			if err != nil {
				i.cfg.Logger.Debug("what is reloaded elsewhere is seen late", "error", err)
			}
			pause(ctx, lookEvery)
		}
	})
	for pause(ctx, lookEvery) {
		if _, err := i.drive(ctx, Event{Kind: EventLook}); err != nil && ctx.Err() == nil {
			i.cfg.Logger.Warn("what is reloaded cannot be followed for now", "error", err)
		}
	}
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// Entry is what the store keeps for this instance's origin.
func (i *Instance) Entry(ctx context.Context) (Entry, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	value, revision, err := i.cfg.Store.Get(ctx, i.key)
	if err != nil || revision == 0 {
		return Entry{}, 0, err
	}
	return i.parse(value), revision, nil
}

// parse reads a value of the store. One that cannot be read counts as none, so that the next reload replaces it.
func (i *Instance) parse(value []byte) Entry {
	e, err := ParseEntry(value)
	if err != nil {
		i.cfg.Logger.Error("the scripts that were reloaded cannot be read: reload again (wind reload)", "key", i.key, "error", err)
	}
	return e
}

// drive hands an event to the follower, and goes on until its flow has its answer. Other flows may run in between.
func (i *Instance) drive(ctx context.Context, ev Event) (answer Answer, err error) {
	for more := true; more; {
		more = false
		for _, a := range i.step(ev) {
			switch a.Kind {
			case ActionLog:
				i.log(a)
			case ActionAnswer:
				answer, err = a.Answer, a.Err
			default:
				ev, more = i.do(ctx, a), true
			}
		}
	}
	return answer, err
}

func (i *Instance) step(ev Event) []Action {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.follower.Step(ev)
}

// do does an action that wants an answer.
func (i *Instance) do(ctx context.Context, a Action) Event {
	ev := Event{Flow: a.Flow}
	switch a.Kind {
	case ActionMake:
		ev.Kind = EventMade
		ev.Runtime, ev.Err = i.cfg.Make(a.Modules)
	case ActionRead:
		ev.Kind = EventKept
		ev.Entry, ev.Revision, ev.Err = i.Entry(ctx)
	case ActionWrite:
		ev.Kind = EventWritten
		var value []byte
		if value, ev.Err = a.Entry.Encode(); ev.Err == nil {
			ctx, cancel := context.WithTimeout(ctx, storeTimeout)
			defer cancel()
			_, ev.OK, ev.Err = i.cfg.Store.Put(ctx, i.key, value, a.Revision)
		}
	default:
		panic(fmt.Sprintf("reload: action %d wants no answer", a.Kind))
	}
	return ev
}

func (i *Instance) log(a Action) {
	args := []any{"reload", a.Reload}
	if a.Err != nil {
		args = append(args, "error", a.Err)
	}
	i.cfg.Logger.Log(context.Background(), a.Level, a.Text, args...)
}
