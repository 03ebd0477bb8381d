package predict

import (
	"cmp"
	"math/bits"
	"slices"
)

// How often, and how many values of a column, a Writer looks at to choose predictions.
const (
	sampleEvery = 4
	sampleRows  = 48
	maxFloats   = 128 // of a game: with more of them sums are not looked for
)

// choice gathers what would have been right, word by word.
type choice struct {
	layout *Layout
	words  [][]tally // by component and word
	floats []source  // every float of the game
	rows   []int
}

// tally is what was seen of a word.
type tally struct {
	seen int
	bits [sum]int // that asIs, difference and line would have cost
	hits []int    // by float: how often it was what was added
	done []int    // by float: how often it could have been
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

// sample returns some rows of a part, spread over it.
func (c *choice) sample(p *part) []int {
	c.rows = c.rows[:0]
	step := max(1, (len(p.ids)+sampleRows-1)/sampleRows)
	for row := 0; row < len(p.ids); row += step {
		c.rows = append(c.rows, row)
	}
	return c.rows
}

// costs looks at a body before it is in memory.
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

// sums looks at a body when it is in memory.
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

// sumsOf looks which floats were added to one that has changed.
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

// settle puts into the plan what was right, where enough was seen, and forgets what was seen.
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

// settleSums makes sums of the words for which that is right more often than not, the surest first: what is added is
// never a sum itself.
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
			for _, s := range w.sources { // of a sum that stays, as its word was not seen
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
