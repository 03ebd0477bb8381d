package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/ferris1/wind/bench"
)

func TestSpreadOfRounds(t *testing.T) {
	for _, one := range []struct {
		in   []float64
		want spread
	}{
		{[]float64{4.75, 3.4, 4.5}, spread{3.4, 4.5, 4.75}},
		{[]float64{2, 1}, spread{1, 1, 2}}, // of two in the middle, the smaller
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{4, 3, 2, 1}, spread{1, 2, 4}},
	} {
		if have := spreadOf(one.in); have != one.want {
			t.Errorf("%v: %v, want %v", one.in, have, one.want)
		}
	}
	in := []float64{2, 1}
	if spreadOf(in); in[0] != 2 {
		t.Error("spreadOf sorted its argument")
	}
}

// rounds are the result of three rounds at one depth, in their order.
func rounds(wind, pitaya []float64) *result {
	r := &result{Rounds: len(wind), Handler: "go", Go: "go1.0", Target: target, Pass: true, Failed: []int{}}
	if pitaya != nil {
		r.Pitaya = &build{Module: "example.com/pitaya/v3", Commit: someCommit, Go: "go1.1", GOGC: "400", Settings: []setting{{"pitaya.a", "7"}}}
	}
	one := func(side string, round int, rate, share float64) { // share: of the core
		r.Runs = append(r.Runs, run{Side: side, Round: round, LoadResult: bench.LoadResult{Depth: 1, PerSecond: rate, P50: 1e6 / rate}, PerCPUSecond: rate / share})
	}
	for i := range wind {
		one("wind", i+1, wind[i], 0.5)
		if pitaya != nil {
			one("pitaya", i+1, pitaya[i], 1)
		}
	}
	r.add(1)
	return r
}

func TestTheRatioIsTakenRoundByRound(t *testing.T) {
	r := rounds([]float64{900, 340, 950}, []float64{200, 100, 200})
	d := r.Depths[0]
	if *d.Ratio != (spread{3.4, 4.5, 4.75}) || d.Met != 2 || !d.Pass || !r.Pass {
		t.Errorf("%+v, ratio %+v", d, *d.Ratio)
	}
	if *d.CPURatio != (spread{6.8, 9, 9.5}) {
		t.Errorf("by processor time: %+v", *d.CPURatio)
	}
	if d.Wind.PerSecond != (spread{340, 900, 950}) || d.Pitaya.PerSecond != (spread{100, 200, 200}) {
		t.Errorf("%+v, %+v", d.Wind, d.Pitaya)
	}
	if r = rounds([]float64{300, 900, 350}, []float64{100, 100, 100}); r.Pass || r.Depths[0].Met != 1 || len(r.Failed) != 1 {
		t.Errorf("a median of 3.5 passes: %+v", r)
	}
	if r = rounds([]float64{300}, nil); !r.Pass || r.Depths[0].Ratio != nil {
		t.Errorf("Wind alone: %+v", r)
	}
}

func TestNoFigureStandsAlone(t *testing.T) {
	r := rounds([]float64{900, 340, 950}, []float64{200, 100, 200})
	text := r.text()
	for _, want := range []string{
		someCommit, "go1.0", "go1.1", "pitaya.a=7", "GOGC=400",
		"round 2  wind 340 per second, p50 2941 us; pitaya 100 per second, p50 10000 us; ratio 3.40",
		"ratio   4.50 (3.40 to 4.75), target 4.00 met; 2 of 3 rounds reached it",
		"        9.00 (6.80 to 9.50) per second of processor\n",
		"wind    900 (340 to 950) requests per second", "pitaya  200 (100 to 200) requests per second",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if text = rounds([]float64{900}, []float64{200}).text(); !strings.Contains(text, "one round has no spread") {
		t.Errorf("one round:\n%s", text)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var have struct {
		Go     string
		Pitaya struct {
			Commit, Go string
			Settings   []setting
		}
		Runs   []struct{ Round int }
		Depths []struct {
			Ratios       []float64
			Ratio        spread
			Wind, Pitaya struct {
				PerSecond spread `json:"per_second"`
			}
		}
	}
	if err := json.Unmarshal(b, &have); err != nil {
		t.Fatal(err)
	}
	d := have.Depths[0]
	if have.Go == "" || have.Pitaya.Commit != someCommit || have.Pitaya.Go == "" || have.Pitaya.Settings[0].Value != "7" || len(have.Runs) != 6 ||
		len(d.Ratios) != 3 || math.Abs(d.Ratio.Min-3.4) > 1e-9 || d.Wind.PerSecond.Max != 950 || d.Pitaya.PerSecond.Min != 100 {
		t.Errorf("%+v of %s", have, b)
	}
}
