package cmd

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
)

// A verb shows its progress after progressAfter, and then every progressEvery.
const (
	progressAfter = 2 * time.Second
	progressEvery = 500 * time.Millisecond
)

// line keeps one line of a terminal up to date until stop is called. Further calls of stop do nothing. line calls text from
// another goroutine.
func line(out io.Writer, after, every time.Duration, text func() string) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		shown := false
		next := time.NewTimer(after)
		defer next.Stop()
		for {
			select {
			case <-next.C:
				fmt.Fprint(out, "\r\x1b[K", text())
				shown = true
				next.Reset(every)
			case <-quit:
				if shown {
					fmt.Fprint(out, "\r\x1b[K")
				}
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(quit); <-done })
}

// progress is how far a verb has come. A nil progress records and shows nothing.
type progress struct {
	mu          sync.Mutex
	began       time.Time
	what        string // what is counted: records, ticks of deltas, rounds
	done, total uint64
}

// showProgress shows the progress of a verb that takes longer than progressAfter, if stderr is a terminal. Otherwise it
// returns nil.
func (a *app) showProgress() (p *progress, stop func()) {
	if !a.stderr.terminal() {
		return nil, func() {}
	}
	p = &progress{began: time.Now()}
	return p, line(a.stderr, progressAfter, progressEvery, p.String)
}

// at records that done of total are finished; a total of 0 means unknown.
func (p *progress) at(what string, done, total uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if what != p.what {
		p.what, p.began = what, time.Now()
	}
	p.done, p.total = done, total
}

// String returns the line to show: "1200 of 54000 records (2 %), 45s left".
func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.began)
	if p.total == 0 || p.done == 0 {
		return fmt.Sprintf("%d %s, %s", p.done, p.what, took.Round(time.Second))
	}
	part := min(float64(p.done)/float64(p.total), 1)
	left := time.Duration(float64(took) * (1 - part) / part)
	return fmt.Sprintf("%d of %d %s (%.0f %%), %s left", p.done, p.total, p.what, part*100, left.Round(time.Second))
}

// rounds records the rounds of a benchmark.
func (p *progress) rounds(done, total int) { p.at("rounds", uint64(done), uint64(total)) }

// through returns s with readers that record their progress in p.
func (p *progress) through(s persistence.Source) persistence.Source {
	if p == nil {
		return s
	}
	s.Log = progressLog{s.Log, p}
	if s.Deltas != nil {
		s.Deltas = progressDeltas{s.Deltas, p}
	}
	return s
}

type progressLog struct {
	persistence.LogReader
	p *progress
}

// Read implements persistence.LogReader.
func (l progressLog) Read(ctx context.Context, first, last persistence.Seq) iter.Seq2[persistence.Message, error] {
	return func(yield func(persistence.Message, error) bool) {
		for m, err := range l.LogReader.Read(ctx, first, last) {
			if err == nil {
				l.p.at("records", uint64(m.Seq), uint64(last))
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

type progressDeltas struct {
	persistence.DeltaReader
	p *progress
}

// Read implements persistence.DeltaReader.
func (d progressDeltas) Read(ctx context.Context, from uint64) iter.Seq2[persistence.Delta, error] {
	return func(yield func(persistence.Delta, error) bool) {
		last, ok, err := d.Last(ctx)
		if err != nil || !ok {
			last.Tick = 0 // unknown
		}
		for delta, err := range d.DeltaReader.Read(ctx, from) {
			if err == nil {
				d.p.at("ticks of deltas", delta.Tick, last.Tick)
			}
			if !yield(delta, err) {
				return
			}
		}
	}
}

// progressWriter is a log writer that records its progress in p.
type progressWriter struct {
	persistence.LogWriter
	p    *progress
	last uint64
}

// Append implements persistence.LogWriter.
func (w progressWriter) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	w.p.at("records stored", uint64(expect)+1, w.last)
	return w.LogWriter.Append(ctx, m, expect)
}
