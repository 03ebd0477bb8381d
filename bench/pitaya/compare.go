package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ferris1/wind/bench"
)

// target is the minimum ratio of Wind's requests per second to Pitaya's, at every depth.
const target = 4.0

// warm is how long each measurement runs before it counts.
const warm = time.Second

// result is the result of a comparison.
type result struct {
	Payload    int     `json:"payload"`
	Handler    string  `json:"handler"`
	ServerCore int     `json:"server_core"`      // -1: not pinned
	LoadCore   int     `json:"load_core"`        // -1: not pinned
	Wind       string  `json:"wind"`             // version
	Pitaya     string  `json:"pitaya,omitempty"` // address; "": not measured
	Runs       []run   `json:"runs"`             // in their order
	Depths     []depth `json:"depths"`           // medians
	Target     float64 `json:"target"`           // of each depth's ratio
	Pass       bool    `json:"pass"`             // also true if Pitaya was not measured
	Failed     []int   `json:"failed"`           // depths that missed the target
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
	Depth  int     `json:"depth"`
	Wind   side    `json:"wind"`
	Pitaya *side   `json:"pitaya,omitempty"`
	Ratio  float64 `json:"ratio,omitempty"`
	Pass   bool    `json:"pass"`
}

// side is the median run of one side, by requests per second.
type side struct {
	PerSecond    float64 `json:"per_second"`
	PerCPUSecond float64 `json:"per_cpu_second"`
	P50          float64 `json:"us_p50"`
	P99          float64 `json:"us_p99"`
	Failed       uint64  `json:"failed"`
}

// compare measures both sides in turns.
func compare(ctx context.Context, o options, pinned bool) (result, error) {
	if !pinned {
		o.loadCore = -1
	}
	r := result{Payload: o.payload, Handler: "go", ServerCore: o.serverCore, LoadCore: o.loadCore, Pitaya: o.pitaya, Target: target, Pass: true, Failed: []int{}}
	if o.script {
		r.Handler = "star"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		r.Wind = info.Main.Version
	}
	s, err := startServers(ctx, o.serverCore)
	if err != nil {
		return r, err
	}
	defer s.stop()
	for _, n := range o.depths {
		for round := range o.rounds {
			for _, name := range []string{"wind", "pitaya"} {
				if name == "pitaya" && o.pitaya == "" {
					continue
				}
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

// measure measures one side once.
func (o options) measure(ctx context.Context, name string, s *servers, depth int) (run, error) {
	load := bench.LoadOptions{Addr: s.addr, Connections: o.connections, Depth: depth, Warm: warm, For: time.Duration(o.seconds) * time.Second}
	load.Wire = func(n int) bench.Wire { return bench.EchoWire(n, o.payload, o.script) }
	pids := s.pids
	if name == "pitaya" {
		pids = o.pids
		load.Addr = o.pitaya
		load.Wire = func(int) bench.Wire {
			return &pitayaWire{route: o.route, body: []byte(strings.Repeat("x", o.payload))}
		}
	}
	own, from := ownCPU(), time.Now()
	servers, err := cpuOf(pids)
	if err != nil {
		return run{}, err
	}
	l, err := bench.Load(ctx, load)
	if err != nil {
		return run{}, err
	}
	after, err := cpuOf(pids)
	span := time.Since(from).Seconds()
	r := run{Side: name, LoadResult: l, LoadCPU: (ownCPU() - own).Seconds() / span, ServerCPU: (after - servers).Seconds() / span}
	if r.ServerCPU > 0 {
		r.PerCPUSecond = l.PerSecond / r.ServerCPU
	}
	return r, err
}

// add compares the sides at a depth.
func (r *result) add(n int) {
	d := depth{Depth: n, Wind: r.median("wind", n), Pass: true}
	if r.Pitaya != "" {
		p := r.median("pitaya", n)
		d.Pitaya, d.Ratio = &p, d.Wind.PerSecond/p.PerSecond
		d.Pass = d.Ratio >= r.Target && d.Wind.Failed == 0
	}
	if r.Depths = append(r.Depths, d); !d.Pass {
		r.Pass = false
		r.Failed = append(r.Failed, n)
	}
}

// median returns a side's median run at a depth, the slower of two.
func (r *result) median(name string, n int) side {
	var some []run
	for _, one := range r.Runs {
		if one.Side == name && one.Depth == n {
			some = append(some, one)
		}
	}
	slices.SortFunc(some, func(a, b run) int { return int(a.PerSecond - b.PerSecond) })
	m := some[(len(some)-1)/2]
	return side{m.PerSecond, m.PerCPUSecond, m.P50, m.P99, m.LoadResult.Failed}
}

func (r *result) text() string {
	var b strings.Builder
	where := fmt.Sprintf("servers on core %d, load generator on core %d", r.ServerCore, r.LoadCore)
	if r.ServerCore < 0 || r.LoadCore < 0 {
		where = "not pinned: the figures mean little"
	}
	fmt.Fprintf(&b, "%d connections, %d bytes, handler in %s, %s\n", r.Runs[0].Connections, r.Payload, r.Handler, where)
	for _, d := range r.Depths {
		fmt.Fprintf(&b, "depth %2d  wind   %8.0f requests per second (%.0f per second of processor), p50 %8.0f us, p99 %8.0f us%s\n", d.Depth, d.Wind.PerSecond, d.Wind.PerCPUSecond, d.Wind.P50, d.Wind.P99, failures(d.Wind))
		if d.Pitaya == nil {
			continue
		}
		verdict := "met"
		if !d.Pass {
			verdict = "MISSED"
		}
		fmt.Fprintf(&b, "          pitaya %8.0f requests per second (%.0f per second of processor), p50 %8.0f us, p99 %8.0f us%s\n", d.Pitaya.PerSecond, d.Pitaya.PerCPUSecond, d.Pitaya.P50, d.Pitaya.P99, failures(*d.Pitaya))
		fmt.Fprintf(&b, "          ratio %.2f, target %.2f %s\n", d.Ratio, r.Target, verdict)
	}
	if r.Pitaya == "" {
		b.WriteString("Pitaya was not measured: give --pitaya the address of a cluster's frontend server\n")
	}
	return b.String()
}

func failures(s side) string {
	if s.Failed == 0 {
		return ""
	}
	return fmt.Sprintf(", %d failed", s.Failed)
}
