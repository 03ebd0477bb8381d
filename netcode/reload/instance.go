package reload

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ferris1/wind/systems/script"
)

// How often an instance reads the store in addition to watching it, and how long one call of the store may take.
const (
	lookEvery    = 10 * time.Second
	storeTimeout = 5 * time.Second
)

// InstanceConfig describes an instance of a service whose scripts can be reloaded.
type InstanceConfig struct {
	Type, ID string
	Modules  []script.Module // the modules that it comes with
	Store    Store
	Insist   bool // run Modules whatever the store has; the other instances follow
	// Make makes the runtime of modules. An error means that the modules do not fit this binary.
	Make   func(modules []script.Module) (Runtime, error)
	Logger *slog.Logger // nil: slog.Default()
}

// Instance drives the [Follower] of one instance: it performs the actions and passes the results back. Its methods may
// be called concurrently.
type Instance struct {
	cfg InstanceConfig
	key string

	mu       sync.Mutex // guards the follower and changes to its runtime
	follower *Follower
}

// Start starts an instance with what the store has for its origin, or else with the modules that it came with.
func Start(ctx context.Context, c InstanceConfig) (*Instance, error) {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	i := &Instance{cfg: c, key: Key(c.Type, c.Modules), follower: NewFollower(c.ID, c.Modules)}
	_, err := i.drive(ctx, Event{Kind: EventStart, Insist: c.Insist})
	return i, err
}

// Generation returns the generation of the scripts in force; 0 means those that the instance came with.
func (i *Instance) Generation() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.follower.Generation()
}

// Handle performs a step that a coordinator asks for, and returns the answer as JSON.
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

// Follow puts in force what a reload did not bring here, and restores what the store has lost, until ctx ends.
func (i *Instance) Follow(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		for ctx.Err() == nil {
			err := i.cfg.Store.Watch(ctx, i.key, func(value []byte, _ uint64) {
				_, _ = i.drive(ctx, Event{Kind: EventTold, Entry: i.parse(value)})
			})
			if err != nil {
				i.cfg.Logger.Debug("cannot watch for reloads of other instances: asking for them now and then", "error", err)
			}
			pause(ctx, lookEvery)
		}
	})
	for pause(ctx, lookEvery) {
		if _, err := i.drive(ctx, Event{Kind: EventLook}); err != nil && ctx.Err() == nil {
			i.cfg.Logger.Warn("cannot follow reloads for now", "error", err)
		}
	}
}

// pause waits for d. It returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// Entry returns the store's entry for this instance's origin, and its revision.
func (i *Instance) Entry(ctx context.Context) (Entry, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	value, revision, err := i.cfg.Store.Get(ctx, i.key)
	if err != nil || revision == 0 {
		return Entry{}, 0, err
	}
	return i.parse(value), revision, nil
}

// parse decodes a value of the store. An unreadable value counts as no entry, so that the next reload replaces it.
func (i *Instance) parse(value []byte) Entry {
	e, err := ParseEntry(value)
	if err != nil {
		i.cfg.Logger.Error("cannot read the reloaded scripts: reload again (wind reload)", "key", i.key, "error", err)
	}
	return e
}

// drive passes an event to the follower and continues until its flow is answered. Other flows may run meanwhile.
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

// do performs an action that needs an answer.
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
		panic(fmt.Sprintf("reload: action %d has no answer", a.Kind))
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
