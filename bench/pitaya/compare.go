package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ferris1/wind/bench"
)

// target is the minimum of the median ratio of Wind's requests per second to Pitaya's, at every depth.
const target = 4.0

// warm is how long each measurement runs before it counts.
const warm = time.Second

// route is the handler of Pitaya's backend server.
const route = "room.room.echo"

// result is the result of a comparison.
type result struct {
	Payload    int     `json:"payload"`
	Handler    string  `json:"handler"`
	Rounds     int     `json:"rounds"`
	ServerCore int     `json:"server_core"`      // -1: not pinned
	LoadCore   int     `json:"load_core"`        // -1: not pinned
	Wind       string  `json:"wind"`             // version
	Go         string  `json:"go"`               // version that compiled Wind
	GOGC       string  `json:"gogc"`             // of Wind's gateway and service
	Pitaya     *build  `json:"pitaya,omitempty"` // nil: not measured
	Runs       []run   `json:"runs"`             // in their order
	Depths     []depth `json:"depths"`
	Target     float64 `json:"target"` // of each depth's median ratio
	Pass       bool    `json:"pass"`   // also true if Pitaya was not measured
	Failed     []int   `json:"failed"` // depths that missed the target
}

// run is one measurement.
type run struct {
	Side  string `json:"side"` // wind or pitaya
	Round int    `json:"round"`
	// LoadCPU is the share of its core that the load generator used. Near 1, the load generator is the bottleneck.
	LoadCPU float64 `json:"load_cpu"`
	// ServerCPU is the servers' share of their core. Below 1, they waited or other processes used the core.
	ServerCPU float64 `json:"server_cpu"`
	// PerCPUSecond is the number of requests per second of the servers' processor time. Other processes on the core
	// hardly affect it. 0: unknown.
	PerCPUSecond float64 `json:"per_cpu_second"`
	bench.LoadResult
}

// depth compares the sides at one depth.
type depth struct {
	Depth  int       `json:"depth"`
	Wind   side      `json:"wind"`
	Pitaya *side     `json:"pitaya,omitempty"`
	Ratios []float64 `json:"ratios,omitempty"` // of each round: Wind's requests per second to Pitaya's
	Ratio  *spread   `json:"ratio,omitempty"`  // of Ratios
	// CPURatio compares the requests per second of the servers' processor time, round by round. It does not count for Pass.
	CPURatio *spread `json:"cpu_ratio,omitempty"`
	Met      int     `json:"met"` // rounds whose ratio reached the target
	Pass     bool    `json:"pass"`
}

// side is one side's rounds at one depth.
type side struct {
	PerSecond    spread `json:"per_second"`
	PerCPUSecond spread `json:"per_cpu_second"`
	P50          spread `json:"us_p50"`
	P99          spread `json:"us_p99"`
	Failed       uint64 `json:"failed"` // in all rounds
}

// compare builds Pitaya's server, starts all servers, measures both sides in turns, and stops what it started.
func compare(ctx context.Context, o options, pinned bool) (result, error) {
	if !pinned {
		o.loadCore = -1
	}
	r := result{
		Payload: o.payload, Handler: "go", Rounds: o.rounds, ServerCore: o.serverCore, LoadCore: o.loadCore,
		Go: runtime.Version(), GOGC: gogc(), Target: target, Pass: true, Failed: []int{},
	}
	if o.script {
		r.Handler = "star"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		r.Wind = info.Main.Version
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if o.commit != "" {
		if _, err := reserve(o.port); err != nil { // before the build takes its time
			return r, err
		}
		dir, err := os.MkdirTemp("", "wind-pitaya-")
		if err != nil {
			return r, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if r.Pitaya, err = buildPitaya(ctx, o, dir); err != nil {
			return r, err
		}
	}
	s := &servers{core: o.serverCore, fail: fail}
	defer s.stop()
	if err := s.startWind(ctx); err != nil {
		return r, err
	}
	if r.Pitaya != nil {
		if err := s.startPitaya(ctx, r.Pitaya, o.port, o.pitayaWire); err != nil {
			return r, err
		}
	}
	fmt.Fprintf(os.Stderr, "measuring for %s\n", o.planned())
	for _, n := range o.depths {
		for round := range o.rounds {
			for _, name := range o.sides() {
				one, err := o.measure(ctx, name, s, n)
				if err != nil {
					return r, fmt.Errorf("%s at depth %d: %w", name, n, err)
				}
				one.Round = round + 1
				r.Runs = append(r.Runs, one)
				fmt.Fprintf(os.Stderr, "%-6s depth %2d round %d: %8.0f requests per second, servers at %.0f %% of a core, load generator at %.0f %%\n",
					name, n, one.Round, one.PerSecond, one.ServerCPU*100, one.LoadCPU*100)
			}
		}
		r.add(n)
	}
	return r, nil
}

func (o options) pitayaWire() bench.Wire {
	return &pitayaWire{route: route, body: []byte(strings.Repeat("x", o.payload))}
}

// measure measures one side once.
func (o options) measure(ctx context.Context, name string, s *servers, depth int) (run, error) {
	load := bench.LoadOptions{Addr: s.wind.addr, Connections: o.connections, Depth: depth, Warm: warm, For: time.Duration(o.seconds) * time.Second}
	load.Wire = func(n int) bench.Wire { return bench.EchoWire(n, o.payload, o.script) }
	pids := s.wind.pids
	if name == "pitaya" {
		pids = s.pitaya.pids
		load.Addr = s.pitaya.addr
		load.Wire = func(int) bench.Wire { return o.pitayaWire() }
	}
	own, from := ownCPU(), time.Now()
	before, err := cpuOf(pids)
	if err == nil {
		var l bench.LoadResult
		if l, err = bench.Load(ctx, load); err == nil {
			var after time.Duration
			if after, err = cpuOf(pids); err == nil {
				return newRun(name, l, ownCPU()-own, after-before, time.Since(from)), nil
			}
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // a server that ended says more than what its clients saw
	}
	return run{}, err
}

func newRun(name string, l bench.LoadResult, own, servers, span time.Duration) run {
	r := run{Side: name, LoadResult: l, LoadCPU: own.Seconds() / span.Seconds(), ServerCPU: servers.Seconds() / span.Seconds()}
	if r.ServerCPU > 0 {
		r.PerCPUSecond = l.PerSecond / r.ServerCPU
	}
	return r
}

// add compares the sides at a depth.
func (r *result) add(n int) {
	wind := r.of("wind", n)
	d := depth{Depth: n, Wind: sideOf(wind), Pass: true}
	if r.Pitaya != nil {
		pitaya := r.of("pitaya", n)
		p := sideOf(pitaya)
		var cpu []float64
		for i, one := range pitaya {
			if one.PerCPUSecond > 0 {
				cpu = append(cpu, wind[i].PerCPUSecond/one.PerCPUSecond)
			}
			ratio := wind[i].PerSecond / one.PerSecond
			if d.Ratios = append(d.Ratios, ratio); ratio >= r.Target {
				d.Met++
			}
		}
		all := spreadOf(d.Ratios)
		d.Pitaya, d.Ratio = &p, &all
		if len(cpu) > 0 {
			all := spreadOf(cpu)
			d.CPURatio = &all
		}
		d.Pass = all.Median >= r.Target && d.Wind.Failed == 0
	}
	if r.Depths = append(r.Depths, d); !d.Pass {
		r.Pass = false
		r.Failed = append(r.Failed, n)
	}
}

// of returns a side's runs at a depth, one a round.
func (r *result) of(name string, n int) (some []run) {
	for _, one := range r.Runs {
		if one.Side == name && one.Depth == n {
			some = append(some, one)
		}
	}
	return some
}

func sideOf(runs []run) side {
	of := func(figure func(run) float64) spread {
		all := make([]float64, len(runs))
		for i, one := range runs {
			all[i] = figure(one)
		}
		return spreadOf(all)
	}
	s := side{
		PerSecond:    of(func(r run) float64 { return r.PerSecond }),
		PerCPUSecond: of(func(r run) float64 { return r.PerCPUSecond }),
		P50:          of(func(r run) float64 { return r.P50 }),
		P99:          of(func(r run) float64 { return r.P99 }),
	}
	for _, one := range runs {
		s.Failed += one.LoadResult.Failed
	}
	return s
}
