package predict

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// how is the way a word is predicted.
type how uint8

const (
	asIs       how = iota // not predicted
	difference            // the last value
	line                  // the line through the last two values
	sum                   // the last value plus a float of the same entity
	hows
)

// word is a number inside a packed value.
type word struct {
	at, width int // bytes
	float     bool
	how       how
	sources   []source // of a sum; the first one that the entity has a value of is added
}

// source is a float that a sum adds: a component's word, by index.
type source struct {
	component, word int
	at              int // the word's offset in the packed value
}

// column describes a component's packed values.
type column struct {
	packed int
	words  []word
	sums   bool // one of the words is a sum
}

// Layout describes where the numbers are in a game's packed values. It is immutable and may be shared.
type Layout struct {
	resources []int // packed bytes
	columns   []column
	chosen    bool // read from a plan; a Writer keeps its predictions
}

// LayoutOf returns the layout of a game's types.
func LayoutOf(s *ecs.Schema) *Layout {
	l := &Layout{}
	for i := range s.Resources {
		l.resources = append(l.resources, s.Resources[i].Packed)
	}
	for i := range s.Components {
		l.columns = append(l.columns, columnOf(&s.Components[i]))
	}
	return l
}

func columnOf(t *ecs.Type) column {
	c := column{packed: t.Packed}
	for i := range t.Fields {
		f := &t.Fields[i]
		w := word{width: f.Width, float: f.Kind == ecs.KindF32 || f.Kind == ecs.KindF64, how: difference}
		switch f.Kind {
		case ecs.KindEntity:
			w.width = 4
		case ecs.KindText:
			c.addText(f.PackedOffset, f.Count*f.Width)
			continue
		}
		if w.float {
			w.how = line
		}
		for at := f.PackedOffset; at < f.PackedOffset+f.Count*f.Width; at += w.width {
			w.at = at
			c.words = append(c.words, w)
		}
	}
	return c
}

// addText adds a text's bytes as words of 8 bytes, then of 1.
func (c *column) addText(at, n int) {
	for n > 0 {
		w := word{at: at, width: 1, how: difference}
		if n >= 8 {
			w.width = 8
		}
		c.words = append(c.words, w)
		at, n = at+w.width, n-w.width
	}
}

// count returns the number of words.
func (l *Layout) count() (n int) {
	for i := range l.columns {
		n += len(l.columns[i].words)
	}
	return n
}

// planned returns a copy in which the how of each word can be changed.
func (l *Layout) planned() *Layout {
	p := &Layout{resources: l.resources, chosen: l.chosen, columns: append([]column(nil), l.columns...)}
	for i := range p.columns {
		p.columns[i].words = append([]word(nil), p.columns[i].words...)
	}
	return p
}

// appendTo appends the plan: the layout and how each word is predicted. Equal neighbours share an entry.
func (l *Layout) appendTo(b []byte) []byte {
	b = appendUvarint(b, uint64(len(l.resources)))
	for _, n := range l.resources {
		b = appendUvarint(b, uint64(n))
	}
	b = appendUvarint(b, uint64(len(l.columns)))
	for i := range l.columns {
		words := l.columns[i].words
		for len(words) > 0 {
			n := 1
			for n < len(words) && words[0].how != sum && words[n].how == words[0].how && words[n].width == words[0].width {
				n++
			}
			b = appendUvarint(b, uint64(n))
			b = append(b, byte(words[0].width), byte(words[0].how))
			if words[0].how == sum {
				b = appendUvarint(b, uint64(len(words[0].sources)))
				for _, s := range words[0].sources {
					b = appendUvarint(b, uint64(s.component))
					b = appendUvarint(b, uint64(s.word))
				}
			}
			words = words[n:]
		}
		b = append(b, 0)
	}
	return b
}

// Limits of a plan, well above those of ecs.
const (
	maxTypes   = 1 << 12
	maxPacked  = 1 << 16
	maxWords   = 1 << 16 // of all types together
	maxSources = 64
)

var errPlan = errors.New("its plan is malformed")

// readLayout reads what appendTo wrote.
func readLayout(r *reader) (*Layout, error) {
	l, words := &Layout{chosen: true}, 0
	for range r.below(maxTypes) {
		l.resources = append(l.resources, r.below(maxPacked+1))
	}
	for range r.below(maxTypes) {
		c, err := readColumn(r)
		if err != nil {
			return nil, err
		}
		l.columns = append(l.columns, c)
		if words += len(c.words); words > maxWords {
			return nil, errPlan
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return l, l.check()
}

func readColumn(r *reader) (c column, err error) {
	for {
		n := r.below(maxPacked + 1)
		if n == 0 || r.err != nil {
			return c, r.err
		}
		w := word{width: int(r.byte()), how: how(r.byte())}
		if w.width != 1 && w.width != 2 && w.width != 4 && w.width != 8 || w.how >= hows || n*w.width > maxPacked-c.packed {
			return c, errPlan
		}
		if w.how == sum {
			if n != 1 || w.width < 4 {
				return c, errPlan
			}
			c.sums = true
			for range r.below(maxSources + 1) {
				w.sources = append(w.sources, source{component: r.below(maxTypes), word: r.below(maxPacked)})
			}
		}
		for range n {
			w.at = c.packed
			c.words = append(c.words, w)
			c.packed += w.width
		}
	}
}

// check resolves the sources of the sums. It refuses sources of another width and sources that are sums themselves.
func (l *Layout) check() error {
	for i := range l.columns {
		for _, w := range l.columns[i].words {
			for k := range w.sources {
				s := &w.sources[k]
				if s.component >= len(l.columns) || s.word >= len(l.columns[s.component].words) {
					return fmt.Errorf("%w: a source does not exist", errPlan)
				}
				from := &l.columns[s.component].words[s.word]
				if from.width != w.width || from.how == sum {
					return fmt.Errorf("%w: a source has another width or is itself a sum", errPlan)
				}
				s.at = from.at
			}
		}
	}
	return nil
}
