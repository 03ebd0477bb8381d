package main

import (
	"fmt"
	"strings"
)

// text returns the result for people: what was measured, each round, and per depth the medians with their spread.
func (r *result) text() string {
	var b strings.Builder
	where := fmt.Sprintf("servers on core %d, load generator on core %d", r.ServerCore, r.LoadCore)
	if r.ServerCore < 0 || r.LoadCore < 0 {
		where = "not pinned: the figures mean little"
	}
	fmt.Fprintf(&b, "%d connections, %d bytes, handler in %s, %s, %d rounds of %.0f s per side\n", r.Runs[0].Connections, r.Payload, r.Handler, where, r.Rounds, r.Runs[0].Seconds)
	fmt.Fprintf(&b, "wind    %s, %s, GOGC=%s\n", r.Wind, r.Go, r.GOGC)
	if p := r.Pitaya; p != nil {
		fmt.Fprintf(&b, "pitaya  %s at commit %s, %s, GOGC=%s, log level error\n", p.Module, p.Commit, p.Go, p.GOGC)
		for _, s := range p.Settings {
			fmt.Fprintf(&b, "        %s=%s\n", s.Key, s.Value)
		}
	}
	for _, d := range r.Depths {
		r.depthText(&b, d)
	}
	if r.Pitaya == nil {
		b.WriteString("Pitaya was not measured (--alone)\n")
	}
	return b.String()
}

func (r *result) depthText(b *strings.Builder, d depth) {
	fmt.Fprintf(b, "\ndepth %d\n", d.Depth)
	wind, pitaya := r.of("wind", d.Depth), r.of("pitaya", d.Depth)
	for i, w := range wind {
		fmt.Fprintf(b, "round %d  wind %.0f per second, p50 %.0f us", w.Round, w.PerSecond, w.P50)
		if d.Ratio != nil {
			fmt.Fprintf(b, "; pitaya %.0f per second, p50 %.0f us; ratio %.2f", pitaya[i].PerSecond, pitaya[i].P50, d.Ratios[i])
		}
		b.WriteString("\n")
	}
	b.WriteString("median (smallest to largest)\n")
	sideText(b, "wind  ", d.Wind)
	if d.Ratio == nil {
		return
	}
	sideText(b, "pitaya", *d.Pitaya)
	verdict := "met"
	if !d.Pass {
		verdict = "MISSED"
	}
	fmt.Fprintf(b, "ratio   %s, target %.2f %s; %d of %d rounds reached it\n", d.Ratio.text(2), r.Target, verdict, d.Met, len(d.Ratios))
	if d.CPURatio != nil {
		fmt.Fprintf(b, "        %s per second of processor\n", d.CPURatio.text(2))
	}
	if len(d.Ratios) == 1 {
		b.WriteString("        one round has no spread: give --rounds 3 or more\n")
	}
}

func sideText(b *strings.Builder, name string, s side) {
	failed := ""
	if s.Failed > 0 {
		failed = fmt.Sprintf(", %d requests failed", s.Failed)
	}
	fmt.Fprintf(b, "%s  %s requests per second, %s per second of processor, p50 %s us, p99 %s us%s\n",
		name, s.PerSecond.text(0), s.PerCPUSecond.text(0), s.P50.text(0), s.P99.text(0), failed)
}
