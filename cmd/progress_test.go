package cmd

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// TestProgressIsShownAfterTwoSeconds: a short verb shows nothing; a long one shows a line and wipes it at the end.
func TestProgressIsShownAfterTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &progress{began: time.Now()}
		stop := line(&out, progressAfter, progressEvery, p.String)
		time.Sleep(progressAfter - time.Millisecond)
		if stop(); out.String() != "" {
			t.Errorf("before two seconds it shows %q", out.String())
		}
		stop = line(&out, progressAfter, progressEvery, p.String)
		p.at("records", 0, 400)
		time.Sleep(progressAfter - time.Millisecond)
		p.at("records", 100, 400)
		time.Sleep(2 * time.Millisecond)
		stop()
		stop()
		if want := "\r\x1b[K100 of 400 records (25 %), 6s left\r\x1b[K"; out.String() != want {
			t.Errorf("it shows %q, want %q", out.String(), want)
		}
	})
}

// TestNoTerminalNoProgress: without a terminal, a verb shows no progress.
func TestNoTerminalNoProgress(t *testing.T) {
	var out, log strings.Builder
	p, stop := mygame(&out, &log).showProgress()
	p.rounds(1, 2)
	stop()
	if p != nil || log.Len() > 0 {
		t.Errorf("a verb without a terminal shows %q", log.String())
	}
}

// TestProgressSeesWhatIsRead: progress follows the sequences of the records read.
func TestProgressSeesWhatIsRead(t *testing.T) {
	p := &progress{}
	log := persistence.NewMemory().Log()
	for seq := range persistence.Seq(3) {
		if err := log.Append(t.Context(), persistence.Message{Body: []byte{byte(seq)}}, seq); err != nil {
			t.Fatal(err)
		}
	}
	s := p.through(persistence.Source{Log: log})
	for _, err := range s.Log.Read(t.Context(), 1, 3) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if p.done != 3 || p.total != 3 || p.what != "records" {
		t.Errorf("after three records of three: %s", p)
	}
}

// TestGrowthDrawsWhatWasStored: the SVG is well-formed, with one point per bucket, and buckets widen for many ticks.
func TestGrowthDrawsWhatWasStored(t *testing.T) {
	var g growth
	for tick := uint64(1); tick <= 100_000; tick++ {
		g.log.add(tick, 10)
		if tick > 50_000 {
			g.deltas.add(tick, 100)
		}
	}
	svg := g.svg(30)
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(g.log.sums); n > mostBuckets || n < mostBuckets/4 {
		t.Errorf("100000 ticks lie in %d buckets", n)
	}
	if got := g.log.perSecond(10, 30); got != 300 {
		t.Errorf("10 bytes a tick are %v a second, want 300", got)
	}
	if got := g.deltas.perSecond(1, 30); got != 0 {
		t.Errorf("before there were deltas they grew by %v", got)
	}
	if !strings.Contains(string(svg), "log: bytes per second, 976.6 KiB in") {
		t.Errorf("the title does not say how much:\n%.600s", svg)
	}
}
