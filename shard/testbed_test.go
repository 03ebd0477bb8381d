package shard

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// The game of these tests: counters that walk, and a command that adds one.
type (
	tPlace struct{ X, Y float64 }
	tPush  struct{ By float64 }
	tMover struct{ Place *tPlace }
	tBody  struct{ Place tPlace }
	tOpts  struct {
		Walkers int32   `usage:"how many walk" min:"0" max:"1000"`
		Step    float64 `usage:"metres per tick"`
	}
)

// walk is the game; bias makes another build of it that computes differently from a tick on.
func walk(bias uint64) ecs.Game {
	return ecs.Game{Name: "walk", TickRate: 30, Options: tOpts{Walkers: 20, Step: 0.5}, Setup: func(w *ecs.World) {
		ecs.Component[tPlace](w, "place")
		o := ecs.OptionsOf[tOpts](w)
		ecs.Handle[tPush](w, "push", func(t *ecs.Tick, c *ecs.Cmd[tPush], q *ecs.Query[tMover]) {
			for m := range q.Each {
				m.Place.Y += c.Value.By
			}
		})
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[tBody]) {
			for i := range o.Walkers {
				s.New(tBody{tPlace{X: float64(i)}})
			}
		})
		ecs.System(w, "walk", func(t *ecs.Tick, q *ecs.Query[tMover]) {
			for m := range q.Each {
				m.Place.X += o.Step
				if bias > 0 && t.Now() >= bias {
					m.Place.X += 0.125
				}
			}
		})
	}}
}

// players is a Clients that pushes something every tick, and remembers what was released.
type players struct {
	mu       sync.Mutex
	seq      uint64
	latch    func(tick uint64)
	disown   func()
	released []uint64 // ticks
	sums     map[uint64]uint64
	owned    []uint64
	disowned []error
	sizes    []int // ticks per record
}

func (p *players) Own(_ *ecs.World, epoch uint64) { p.owned = append(p.owned, epoch) }
func (p *players) Disown(reason error) {
	p.disowned = append(p.disowned, reason)
	if p.disown != nil {
		p.disown()
	}
}

func (p *players) Latch(w *ecs.World, tick uint64, dst []ecs.Command, _ int) []ecs.Command {
	if p.latch != nil {
		p.latch(tick)
	}
	p.seq++
	return append(dst, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator, ID: 1}, tick, tPush{By: float64(tick % 7)}))
}

func (p *players) Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sums == nil {
		p.sums = map[uint64]uint64{}
	}
	for _, o := range outputs {
		p.released = append(p.released, o.Tick)
		p.sums[o.Tick] = o.Checksum
	}
	p.sizes = append(p.sizes, len(outputs))
	if w.Tick() != outputs[len(outputs)-1].Tick {
		panic("released with a world of another tick")
	}
}

func (p *players) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.released)
}

const testLineage = "0b7f7d5e-1111-4222-8333-123456789abc"

// testbed is a shard's surroundings in memory.
type testbed struct {
	t         *testing.T
	store     *persistence.Memory
	snapshots *plainSnapshots
	coord     *Coordinator
}

func newTestbed(t *testing.T) *testbed {
	return &testbed{t: t, store: persistence.NewMemory(), snapshots: &plainSnapshots{}, coord: NewCoordinator()}
}

// plainSnapshots stores snapshots uncompressed: the compressor's pools do not work with synctest.
type plainSnapshots struct {
	mu     sync.Mutex
	all    []persistence.Snapshot
	broken bool // what is stored from now on is read back as something that cannot be restored
}

func (s *plainSnapshots) Put(_ context.Context, snap persistence.Snapshot, prove func(persistence.Snapshot) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap.Body = slices.Clone(snap.Body)
	if s.broken {
		snap.Body[len(snap.Body)/2] ^= 0x10
	}
	if err := prove(snap); err != nil {
		return fmt.Errorf("%w: snapshot %s: %w", persistence.ErrUnproven, snap.Name(), err)
	}
	s.all = append(s.all, snap)
	return nil
}

func (s *plainSnapshots) List(context.Context) ([]persistence.SnapshotInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []persistence.SnapshotInfo
	for i := range s.all {
		all = append(all, s.all[i].Info())
	}
	persistence.SortSnapshots(all)
	return all, nil
}

func (s *plainSnapshots) Get(_ context.Context, info persistence.SnapshotInfo) (persistence.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, snap := range s.all {
		if snap.Name() == info.Name {
			return snap, nil
		}
	}
	return persistence.Snapshot{}, persistence.ErrNotFound
}

// host makes a host of a node, changed as asked.
func (b *testbed) host(id string, change func(*HostConfig)) (*Host, *players, *Member) {
	b.t.Helper()
	m, p := b.coord.Member(id, 5*time.Second), &players{}
	cfg := HostConfig{
		Game: walk(0), Config: ecs.Config{Seed: 7}, Cluster: "test", Shard: "main", Node: id, Lineage: testLineage,
		Log: b.store.Log(), Deltas: b.store.Deltas(), Snapshots: b.snapshots, Frontend: p, Ownership: m, Lease: m,
	}
	if testing.Verbose() && os.Getenv("WIND_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return h, p, m
}

// run runs a host for a while, then stops it.
func (b *testbed) run(h *Host, d time.Duration) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	defer cancel()
	return h.Run(ctx)
}

// check asserts that log, deltas and snapshots agree with each other and with the game.
func (b *testbed) check(game ecs.Game) persistence.Report {
	b.t.Helper()
	src := persistence.Source{Log: b.store.Log(), Deltas: b.store.Deltas(), Snapshots: b.snapshots, Lineage: testLineage}
	report, err := persistence.Check(b.t.Context(), src, persistence.CheckOptions{Game: &game})
	if err != nil {
		b.t.Fatal(err)
	}
	if report.Broken() {
		b.t.Errorf("log check: %+v", report)
	}
	return report
}
