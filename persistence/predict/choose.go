package predict

import (
	"cmp"
	"math/bits"
	"slices"
)

// How much a Writer samples to choose predictions.
const (
	sampleEvery = 4   // ticks
	sampleRows  = 48  // values of a column
	maxFloats   = 128 // floats of a game; with more, the Writer does not look for sums
)

// choice gathers statistics on which prediction would have worked for each word.
type choice struct {
	layout *Layout
	words  [][]tally // by component and word
	floats []source  // every float of the game
	rows   []int
}

// tally is the statistics of a word.
type tally struct {
	seen int
	bits [sum]int // the cost of asIs, difference and line
	hits []int    // by float: how often adding it predicted the word
	done []int    // by float: how often it was tried
}

func newChoice(l *Layout) choice {
	c := choice{layout: l, words: make([][]tally, len(l.columns))}
	for i := range l.columns {
		c.words[i] = make([]tally, len(l.columns[i].words))
		for j, w := range l.columns[i].words {
			if w.float {
				c.floats = append(c.floats, source{i, j, w.at})
			}
		}
	}
	if len(c.floats) > maxFloats {
		c.floats = nil
	}
	return c
}

// sample returns evenly spread rows of a part.
func (c *choice) sample(p *part) []int {
	c.rows = c.rows[:0]
	step := max(1, (len(p.ids)+sampleRows-1)/sampleRows)
	for row := 0; row < len(p.ids); row += step {
		c.rows = append(c.rows, row)
	}
	return c.rows
}

// costs tallies the costs of predicting a body. It must run before the body enters memory.
func (c *choice) costs(m *memory, d *body) {
	for i := range d.columns {
		p := &d.columns[i]
		k, col := &m.columns[p.component], &c.layout.columns[p.component]
		for _, row := range c.sample(p) {
			slot := k.find(p.ids[row])
			if slot < 0 || k.times[slot] < 2 {
				continue
			}
			for j := range col.words {
				w, t := &col.words[j], &c.words[p.component][j]
				at := int(slot)*k.packed + w.at
				v, last, before := load(p.values[row*k.packed+w.at:], w.width), load(k.last[at:], w.width), load(k.before[at:], w.width)
				t.seen++
				t.bits[asIs] += bits.Len64(v)
				t.bits[difference] += bits.Len64(zigzag(v-last, w.width))
				t.bits[line] += bits.Len64(zigzag(v-2*last+before, w.width))
			}
		}
	}
}

// sums tallies which sums would have predicted a body. It must run after the body enters memory.
func (c *choice) sums(m *memory, d *body) {
	for i := range d.columns {
		p := &d.columns[i]
		k := &m.columns[p.component]
		for _, row := range c.sample(p) {
			slot := k.find(p.ids[row])
			if slot < 0 || k.times[slot] < 2 {
				continue
			}
			for _, target := range c.floats {
				if target.component == p.component {
					c.sumsOf(m, target, slot, p.ids[row])
				}
			}
		}
	}
}

// sumsOf tallies which floats were added to a float that has changed.
func (c *choice) sumsOf(m *memory, target source, slot int32, id uint32) {
	k, w := &m.columns[target.component], &c.layout.columns[target.component].words[target.word]
	at := int(slot)*k.packed + w.at
	v, before := load(k.last[at:], w.width), load(k.before[at:], w.width)
	if v == before {
		return
	}
	t := &c.words[target.component][target.word]
	if t.hits == nil {
		t.hits, t.done = make([]int, len(c.floats)), make([]int, len(c.floats))
	}
	for i, s := range c.floats {
		if s == target || c.layout.columns[s.component].words[s.word].width != w.width {
			continue
		}
		if term, ok := m.term(s, target.component, slot, id, w.width); ok {
			t.done[i]++
			if add(before, term, w.width) == v {
				t.hits[i]++
			}
		}
	}
}

// settle puts the best predictions into the plan, for words with enough samples, and resets the statistics.
func (c *choice) settle(plan *Layout) {
	for i := range plan.columns {
		for j := range plan.columns[i].words {
			w, t := &plan.columns[i].words[j], &c.words[i][j]
			if t.seen < 8 {
				continue
			}
			w.sources, w.how = nil, difference
			if t.bits[line] < t.bits[w.how] {
				w.how = line
			}
			if t.bits[asIs] < t.bits[w.how] {
				w.how = asIs
			}
		}
	}
	c.settleSums(plan)
	for i := range c.words {
		for j := range c.words[i] {
			t := &c.words[i][j]
			t.seen, t.bits = 0, [sum]int{}
			clear(t.hits)
			clear(t.done)
		}
		plan.columns[i].sums = slices.ContainsFunc(plan.columns[i].words, func(w word) bool { return w.how == sum })
	}
}

// settleSums turns words into sums where that was right more often than not, beginning with the most frequent hits. A
// source of a sum is never a sum itself.
func (c *choice) settleSums(plan *Layout) {
	type found struct {
		target, from source
		hits         int
	}
	var all []found
	for _, target := range c.floats {
		t := &c.words[target.component][target.word]
		for i := range t.hits {
			if t.hits[i] >= 8 && 2*t.hits[i] > t.done[i] {
				all = append(all, found{target, c.floats[i], t.hits[i]})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(b.hits, a.hits) })
	added := map[source]bool{}
	for i := range plan.columns {
		for _, w := range plan.columns[i].words {
			for _, s := range w.sources { // of a sum that remains, because its word had too few samples
				added[s] = true
			}
		}
	}
	for _, f := range all {
		w := &plan.columns[f.target.component].words[f.target.word]
		if added[f.target] || plan.columns[f.from.component].words[f.from.word].how == sum || len(w.sources) >= 4 || slices.Contains(w.sources, f.from) {
			continue
		}
		w.how = sum
		w.sources = append(w.sources, f.from)
		added[f.from] = true
	}
}
