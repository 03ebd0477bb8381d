package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// HostConfig configures a Host.
type HostConfig struct {
	Game ecs.Game
	// Config is what a new shard begins with; a seed of 0 means DefaultSeed. For an existing shard, the given options and
	// seed must equal those of its genesis, or the start is refused. Options may be a partial JSON object: options that it
	// does not name have the game's default, or genesis's value.
	Config ecs.Config

	Cluster, Shard string // [a-z0-9-]{1,40}
	Node           string // this node's id
	Lineage        string // the shard's, agreed on by all nodes (see etcd.Shard.AgreeLineage)
	Build          ecs.Build

	Log       persistence.LogWriter
	Deltas    persistence.DeltaWriter    // nil: no delta stream
	Snapshots persistence.SnapshotWriter // nil: no snapshots
	Frontend  Frontend                   // nil: no clients
	Ownership Ownership
	Lease     Lease

	LeaseMargin   time.Duration // how long before its end the lease counts as lost; zero: a fifth of its TTL, at least 200 ms
	SnapshotEvery uint64        // at most so many ticks between two snapshots; zero: a minute's. See SnapshotRule
	Purge         bool          // purge the log below the older of the two newest verified snapshots after each snapshot, not only when it fills
	KeepLog       bool          // never purge the log, not even when it fills
	MeasureEvery  time.Duration // between two measurements of how full the log is; zero: 10 s
	Limits        Limits        // when the room ends by itself
	NoWait        bool          // end with ErrOwned instead of waiting while another node owns the shard
	LeaveEnded    bool          // keep the owner key of a room that has ended: whoever runs the host notes the end and releases the key at once
	Phase         float64       // where in their period the ticks fall: a share in [0, 1), the same clock for all hosts of a crew; 0: the first is due at once
	Doze          bool          // a room's: commit several ticks at once while nobody is there, if Frontend is a Waker (doze.go), publish deltas in batches, and rest after ticks that take more than their time
	StopTimeout   time.Duration // at a stop, for the current step and for its record; zero: DefaultStopTimeout
	Crew          *Crew         // does the background work, of several hosts if they share it; nil: one of the host's own
	Logger        *slog.Logger  // nil: slog.Default()
}

// Limits say when a room ends by itself. 0: never.
type Limits struct {
	Ticks     uint64 // the room's last tick
	IdleTicks uint64 // ticks in a row without a session
}

// DefaultStopTimeout is how long a host that was asked to stop waits for a step that runs, and for the commit of its record.
const DefaultStopTimeout = 5 * time.Second

// DefaultSeed is the seed of a new shard if none is given.
const DefaultSeed = 1

// ErrStopped is the reason that clients get when a host stops because it was asked to.
var ErrStopped = errors.New("shard: stopped")

// Host runs one shard: it waits until it may own the shard, recovers it, and runs its ticks, until it is stopped or loses
// the shard. Call Run once.
type Host struct {
	cfg    HostConfig
	logger *slog.Logger
	origin time.Time // the zero of the owner's time
	owner  *Owner
	sim    *simulated
	ring   *ring

	lease      LeaseState         // the state that the owner knows
	hold       context.Context    // ends with the lease, not with a stop
	drop       context.CancelFunc // ends hold
	watched    bool
	watchdog   *watchdog
	crew       *Crew
	background background
	timer      *time.Timer
	wakeAt     time.Time     // when the owner wants an EventTimer; zero: never
	inbox      chan *Event   // from the host's goroutines
	owns       atomic.Bool   // the loop runs ticks
	over       chan struct{} // closed when the host has ended
	ending     sync.Once
	records    pull[span, persistence.Message]
	deltas     pull[uint64, persistence.Delta]
	stopped    bool // the owner has ended
	reason     error
	served     bool        // the frontend was told that the shard is here
	left       atomic.Bool // finish was called

	tick      ticking
	doze      doze
	simulated atomic.Bool // the first record's ticks
	archive   *archive
	failing   []failing
	work      atomic.Int64  // see Work
	rate      atomic.Int32  // see tickRate
	mark      atomic.Uint64 // last sequence, for the high-water mark

	asked      asked // what the host waits for
	conditions Conditions

	mu    sync.Mutex
	stats Stats
	told  map[string]bool // see alarmOnce
	times struct{ tick, commit histogram }
	lag   lag
}

// New returns a host, or an error if the configuration is invalid.
func New(cfg HostConfig) (*Host, error) {
	if err := errors.Join(persistence.ValidShardName(cfg.Cluster), persistence.ValidShardName(cfg.Shard)); err != nil {
		return nil, err
	}
	if cfg.Node == "" || cfg.Lineage == "" {
		return nil, errors.New("shard: a host needs the node's id and the shard's lineage")
	}
	if cfg.Log == nil || cfg.Ownership == nil || cfg.Lease == nil {
		return nil, errors.New("shard: a host needs a log, an ownership and a lease")
	}
	if cfg.MeasureEvery <= 0 {
		cfg.MeasureEvery = 10 * time.Second
	}
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = DefaultStopTimeout
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	crew := cfg.Crew
	if crew == nil {
		crew = NewCrew()
	}
	genesis, err := newGenesis(cfg, &crew.types)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, logger: cfg.Logger.With("shard", cfg.Shard, "node", cfg.Node), ring: newRing(ringSlots, ringBytes), inbox: make(chan *Event, 8), doze: doze{nudge: make(chan struct{}, 1)}, over: make(chan struct{}), told: map[string]bool{}}
	h.sim = newSimulated(cfg.Game, cfg.Config, cfg.Lineage, h.ring, &crew.types)
	h.owner = NewOwner(OwnerConfig{Node: cfg.Node, Genesis: genesis, PurgeLog: cfg.Purge, KeepLog: cfg.KeepLog, NoWait: cfg.NoWait}, h.sim)
	h.rate.Store(int32(genesis.TickRate))
	h.crew, h.ring.share = crew, crew.ringShare
	h.stats.Phase = PhaseIdle.String()
	return h, nil
}

// newGenesis returns the shard's first record, in case this node writes it, with this build's description of itself.
func newGenesis(cfg HostConfig, types *types) (persistence.Genesis, error) {
	none := persistence.Genesis{}
	options, err := canonical(cfg.Game, cfg.Config.Options)
	if err != nil {
		return none, err
	}
	seed := cfg.Config.Seed
	if seed == 0 {
		seed = DefaultSeed
	}
	is, err := types.of(cfg.Game, ecs.Config{Seed: seed, Options: options})
	if err != nil {
		return none, err
	}
	build := cfg.Build
	if build.SchemaHash == 0 {
		build.SchemaHash = is.hash
	}
	return persistence.Genesis{
		Lineage: cfg.Lineage, Cluster: cfg.Cluster, Shard: cfg.Shard, Game: cfg.Game.Name, Options: options,
		Seed: seed, TickRate: is.tickRate, Schema: is.json, Build: build,
	}, nil
}

// Run owns and runs the shard until ctx ends or the host may no longer run it. It returns nil if ctx ended, after the last
// record is committed and the shard handed over; otherwise ErrFenced, ErrLeaseLost, ErrHalted, ErrRefused, ErrTooLarge,
// persistence.ErrLost or persistence.ErrFull, wrapped with what happened. If ctx ended while a step ran that has not ended
// StopTimeout later, Run gives it up and returns ErrHung; the goroutine of that step ends with it. All others have ended when Run
// returns.
func (h *Host) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- h.run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	look, asked := time.NewTicker(stopLook), time.Now()
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case now := <-look.C:
			if h.sim.stepping.giveUp(asked, h.cfg.StopTimeout, now) {
				return h.abandon()
			}
		}
	}
}

// abandon ends the host while its step hangs: what the tick loop knows is now the caller's, except for the world. The owner key
// is released. The start's attempt stays noted: if the same tick hangs at the next start, it is deadly.
func (h *Host) abandon() error {
	h.reason = h.sim.stepping.err(h.cfg.Shard, h.cfg.StopTimeout)
	h.disown()
	if h.owner.Claimed() {
		h.handOver(h.owner.Epoch(), false)
	}
	h.finish()
	return h.reason
}

// run is Run on the goroutine of the tick loop.
func (h *Host) run(ctx context.Context) error {
	h.start(ctx)
	defer h.finish()
	h.become(ctx)
	if !h.stopped {
		h.serve(ctx)
	}
	served := h.served
	h.disown()
	h.setPhase()
	switch {
	case errors.Is(h.reason, ErrEnded):
		h.logger.Info("the room is over", "reason", h.reason)
	case errors.Is(h.reason, ErrOwned):
		h.logger.Debug("another node was faster", "reason", h.reason)
	case h.reason != nil && served:
		h.logger.Error("this node no longer runs the shard", "reason", h.reason)
	case h.reason != nil:
		h.logger.Error("this node cannot run the shard", "reason", h.reason)
	}
	return h.reason
}

// start begins the protocol.
func (h *Host) start(ctx context.Context) {
	h.origin = time.Now()
	h.hold, h.drop = context.WithCancel(context.WithoutCancel(ctx))
	h.timer = time.NewTimer(time.Hour)
	h.signal(ctx, EventStart)
}

// finish ends the host's goroutines and waits for them.
func (h *Host) finish() {
	if h.left.Swap(true) {
		return // a step that was given up has ended
	}
	h.tellFailures(time.Now(), true)
	h.drop()
	h.ending.Do(func() { close(h.over) })
	h.records.close()
	h.deltas.close()
	h.timer.Stop()
	h.watchdog.end()
	h.background.end(h.crew)
	if h.cfg.Crew == nil {
		h.crew.Close()
	}
}

// become drives the owner until it owns the shard or has ended.
func (h *Host) become(ctx context.Context) {
	for !h.stopped && h.owner.Phase() != PhaseOwn {
		if ctx.Err() != nil {
			h.signal(ctx, EventStop)
			continue
		}
		h.wait(ctx, time.Time{})
	}
}

// now returns the owner's time.
func (h *Host) now() time.Duration { return time.Since(h.origin) }

// setPhase shows the owner's phase in the statistics.
func (h *Host) setPhase() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.Phase, h.stats.Epoch = h.owner.Phase().String(), h.owner.Epoch()
	if last := h.owner.Last(); last > h.stats.LastSeq {
		h.stats.LastSeq = last
	}
}

// Stats describes a host. Its times cover this run only.
type Stats struct {
	Phase     string            `json:"phase"` // idle, claim, check, recover, fence, own, stopped
	TickRate  int               `json:"tick_rate"`
	Tick      uint64            `json:"tick"`      // the world's
	Ticks     uint64            `json:"ticks"`     // simulated by this host
	Committed uint64            `json:"committed"` // those that the log acknowledged
	Records   uint64            `json:"records"`
	Debt      int               `json:"debt"`     // ticks overdue now
	MaxDebt   int               `json:"max_debt"` // the maximum so far
	Late      uint64            `json:"late"`     // ticks simulated a tick or more after they were due
	Skipped   uint64            `json:"skipped"`  // ticks whose time was skipped: overdue beyond CatchUpSeconds
	TickMS    Quantiles         `json:"tick_ms"`  // a tick's work on this node: from the latch to the release, without the wait for the commit
	CommitMS  Quantiles         `json:"commit_ms"`
	Epoch     persistence.Epoch `json:"epoch"`
	LastSeq   persistence.Seq   `json:"last_seq"`
	Checksum  uint64            `json:"checksum"`
	Entities  int               `json:"entities"`

	RecoveredTick uint64  `json:"recovered_tick"` // where this host took over
	RecoveryMS    float64 `json:"recovery_ms"`    // from the claim to the first tick
	Diverged      uint64  `json:"diverged"`       // first tick that recovery could not re-simulate; 0: none
	DeltasWaiting int     `json:"deltas_waiting"`
	DeltasLost    uint64  `json:"deltas_lost"` // ticks that became gap messages
	Snapshots     uint64  `json:"snapshots"`   // stored and verified

	Conditions []Condition `json:"conditions,omitempty"` // current conditions, gravest first

	// Failures counts failures of systems and commands in ticks that this host committed, by name. It misses those that a
	// tick's Output does not name. A command that its handler rejected did not fail.
	Failures map[string]uint64 `json:"failures,omitempty"`
}

// Add adds the counts of earlier hosts of the same node. Momentary values stay, unless this host does not have them yet.
func (s *Stats) Add(before *Stats) {
	if s.Ticks == 0 {
		s.TickMS, s.CommitMS = before.TickMS, before.CommitMS
	}
	if s.Tick == 0 {
		s.Tick, s.LastSeq, s.Checksum, s.Entities = before.Tick, before.LastSeq, before.Checksum, before.Entities
	}
	s.Ticks, s.Committed, s.Records = s.Ticks+before.Ticks, s.Committed+before.Committed, s.Records+before.Records
	s.DeltasLost, s.Snapshots, s.MaxDebt = s.DeltasLost+before.DeltasLost, s.Snapshots+before.Snapshots, max(s.MaxDebt, before.MaxDebt)
	s.Late, s.Skipped = s.Late+before.Late, s.Skipped+before.Skipped
	for name, n := range before.Failures {
		if s.Failures == nil {
			s.Failures = map[string]uint64{}
		}
		s.Failures[name] += n
	}
}

// Work returns how long the host has worked on ticks so far, the waits for commits apart. It may be called at any time from
// any goroutine, and costs next to nothing.
func (h *Host) Work() time.Duration { return time.Duration(h.work.Load()) }

// tickRate returns the world's ticks per second: those that were asked for, until there is a world.
func (h *Host) tickRate() int { return int(h.rate.Load()) }

// Conditions returns the shard's current conditions, gravest first. It may be called at any time from any goroutine.
func (h *Host) Conditions() []Condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.matters(max(h.stats.Debt, h.asked.overdue(int(h.rate.Load()))))
}

// Stats may be called at any time from any goroutine.
func (h *Host) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.TickRate, s.Failures = h.tickRate(), maps.Clone(s.Failures)
	s.Debt = max(s.Debt, h.asked.overdue(s.TickRate))
	s.Conditions = h.matters(s.Debt)
	s.TickMS, s.CommitMS = h.times.tick.quantiles(), h.times.commit.quantiles()
	s.DeltasWaiting, s.DeltasLost = h.ring.len()
	return s
}

// explain adds the shard's new owner to the loss of a lease, if it can be read quickly.
func (h *Host) explain(reason error) error {
	if !errors.Is(reason, ErrLeaseLost) {
		return reason
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := h.cfg.Ownership.Read(ctx)
	if err != nil || s.Epoch <= h.owner.Epoch() {
		return reason
	}
	who := "nobody owns it now"
	if s.Owner != "" {
		who = "node " + s.Owner + " owns it now"
	}
	return fmt.Errorf("%w: epoch %d was granted since, %s (%w)", ErrFenced, s.Epoch, who, reason)
}
