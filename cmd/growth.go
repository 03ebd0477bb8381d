package cmd

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/ferris1/wind/persistence"
)

// growth records how a log and its deltas grew and draws it as SVG. A plotting library would add 60 packages and 7.7 MB to
// every game's binary.
type growth struct {
	log, deltas series
	overhead    int
}

// through returns s with readers that count into g.
func (g *growth) through(s persistence.Source) persistence.Source {
	g.overhead = s.MessageOverhead
	s.Log = grownLog{s.Log, g}
	if s.Deltas != nil {
		s.Deltas = grownDeltas{s.Deltas, g}
	}
	return s
}

type grownLog struct {
	persistence.LogReader
	g *growth
}

// Read implements persistence.LogReader.
func (l grownLog) Read(ctx context.Context, first, last persistence.Seq) iter.Seq2[persistence.Message, error] {
	return func(yield func(persistence.Message, error) bool) {
		for m, err := range l.LogReader.Read(ctx, first, last) {
			if err == nil {
				l.g.log.add(m.Header.LastTick, len(m.Body)+m.Header.Size()+l.g.overhead)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

type grownDeltas struct {
	persistence.DeltaReader
	g *growth
}

// Read implements persistence.DeltaReader.
func (d grownDeltas) Read(ctx context.Context, from uint64) iter.Seq2[persistence.Delta, error] {
	return func(yield func(persistence.Delta, error) bool) {
		for delta, err := range d.DeltaReader.Read(ctx, from) {
			if err == nil {
				d.g.deltas.add(delta.Tick, len(delta.Body)+(delta.Header().Size()+d.g.overhead)/max(delta.Run, 1))
			}
			if !yield(delta, err) {
				return
			}
		}
	}
}

// mostBuckets bounds a series: beyond it, neighbouring buckets merge in pairs.
const mostBuckets = 512

// series sums bytes over equal spans of ticks.
type series struct {
	width uint64 // ticks per bucket
	sums  []float64
}

func (s *series) add(tick uint64, bytes int) {
	if s.width == 0 {
		s.width = 1
	}
	for tick/s.width >= mostBuckets {
		half := make([]float64, (len(s.sums)+1)/2)
		for i, v := range s.sums {
			half[i/2] += v
		}
		s.sums, s.width = half, 2*s.width
	}
	for uint64(len(s.sums)) <= tick/s.width {
		s.sums = append(s.sums, 0)
	}
	s.sums[tick/s.width] += float64(bytes)
}

// perSecond returns bucket i in bytes per second, at rate ticks per second.
func (s *series) perSecond(i, rate int) float64 {
	return s.sums[i] / float64(s.width) * float64(max(rate, 1))
}

// A plot's size in pixels.
const (
	plotWidth, plotHeight = 860, 220
	plotLeft, plotTop     = 90, 40
)

// svg draws both series, one above the other.
func (g *growth) svg(rate int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", plotLeft+plotWidth+60, 2*(plotTop+plotHeight+40))
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	g.log.draw(&b, "log", rate, plotTop)
	g.deltas.draw(&b, "deltas", rate, plotTop+plotHeight+80)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// draw draws one series below its title, with y as its upper edge.
func (s *series) draw(b *bytes.Buffer, name string, rate, y int) {
	most, sum := 0.0, 0.0
	for i, v := range s.sums {
		most, sum = max(most, s.perSecond(i, rate)), sum+v
	}
	ticks := uint64(len(s.sums)) * s.width
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="14">%s: bytes per second, %s in %s</text>`+"\n", plotLeft, y-12, name, size(sum), plural(ticks, "tick"))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>`+"\n", plotLeft, y, plotWidth, plotHeight)
	if most == 0 {
		fmt.Fprintf(b, `<text x="%d" y="%d">nothing is stored</text>`+"\n", plotLeft+10, y+20)
		return
	}
	top := niceAbove(most)
	for i := 0; i <= 4; i++ {
		at := y + plotHeight - i*plotHeight/4
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="#eee"/><text x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
			plotLeft, plotLeft+plotWidth, at, at, plotLeft-6, at+4, size(top*float64(i)/4))
		tick := ticks * uint64(i) / 4
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%d (%s)</text>`+"\n", plotLeft+i*plotWidth/4, y+plotHeight+18, tick,
			(time.Duration(tick) * time.Second / time.Duration(max(rate, 1))).Round(time.Second))
	}
	var points []string
	for i := range s.sums {
		x := plotLeft + (float64(i)+0.5)*plotWidth/float64(len(s.sums))
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, float64(y+plotHeight)-s.perSecond(i, rate)/top*plotHeight))
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="#06c" stroke-width="1.5" points="%s"/>`+"\n", strings.Join(points, " "))
}

// niceAbove returns the least power of two that is not below v, so that the axis shows whole KiB and MiB.
func niceAbove(v float64) float64 { return math.Exp2(math.Ceil(math.Log2(max(v, 1)))) }
