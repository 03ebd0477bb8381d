package persistence

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// pageUnpacker unpacks the bodies of a stream's whole deltas with FORMAT.md alone, as simply as possible. It panics if the
// bytes do not match that page.
type pageUnpacker struct {
	zstd      *zstd.Decoder
	in        feed
	resources []int
	words     [][]pageWord
	packed    []int
	last      []map[uint32][]byte // by component and entity
	before    []map[uint32][]byte
}

type pageWord struct {
	at, width, how int
	sources        [][2]int
}

// body returns the body of the stream's next delta.
func (u *pageUnpacker) body(d Delta) []byte {
	if d.Group == 0 {
		return d.Body
	}
	if d.Group == d.Tick {
		u.zstd, _ = zstd.NewReader(&u.in, zstd.WithDecoderConcurrency(1))
		u.words = nil
	}
	u.in.b = d.Body
	content := make([]byte, d.Size)
	if _, err := io.ReadFull(u.zstd, content); err != nil {
		panic(err)
	}
	r := &bodyReader{content}
	if u.words == nil {
		u.plan(r)
	}
	if r.take(1)[0] == 0 {
		return r.b
	}
	b := binary.AppendUvarint(nil, d.Tick)
	b = binary.LittleEndian.AppendUint64(b, d.Checksum)
	b = u.operations(r, u.tables(r, b))
	n := r.uvarint()
	b = append(binary.AppendUvarint(b, n), r.take(int(n))...)
	for {
		k := r.uvarint()
		if b = binary.AppendUvarint(b, k); k == 0 {
			return append(b, u.components(r)...)
		}
		b = append(b, r.take(u.resources[k-1])...)
	}
}

func (u *pageUnpacker) plan(r *bodyReader) {
	u.resources, u.packed, u.words = nil, nil, [][]pageWord{}
	for range r.uvarint() {
		u.resources = append(u.resources, int(r.uvarint()))
	}
	n := r.uvarint()
	u.last, u.before = make([]map[uint32][]byte, n), make([]map[uint32][]byte, n)
	for c := range n {
		u.last[c], u.before[c] = map[uint32][]byte{}, map[uint32][]byte{}
		var words []pageWord
		at := 0
		for k := r.uvarint(); k > 0; k = r.uvarint() {
			w := pageWord{width: int(r.take(1)[0]), how: int(r.take(1)[0])}
			if w.how == 3 {
				for range r.uvarint() {
					w.sources = append(w.sources, [2]int{int(r.uvarint()), int(r.uvarint())})
				}
			}
			for range k {
				w.at = at
				words = append(words, w)
				at += w.width
			}
		}
		u.words, u.packed = append(u.words, words), append(u.packed, at)
	}
}

// values reads planes of n values of k bytes.
func (r *bodyReader) values(n, k int) [][]byte {
	planes, all := r.take(n*k), make([][]byte, n)
	for i := range all {
		for j := range k {
			all[i] = append(all[i], planes[j*n+i])
		}
	}
	return all
}

func number(b []byte) uint64 {
	var x [8]byte
	copy(x[:], b)
	return binary.LittleEndian.Uint64(x[:])
}

func (u *pageUnpacker) tables(r *bodyReader, b []byte) []byte {
	n := int(r.uvarint())
	b = binary.AppendUvarint(b, uint64(n))
	for _, set := range r.values(n, (len(u.words)+7)/8) {
		var all []byte
		count := 0
		for c := range u.words {
			if set[c/8]>>(c%8)&1 == 1 {
				all = binary.AppendUvarint(all, uint64(c))
				count++
			}
		}
		b = append(binary.AppendUvarint(b, uint64(count)), all...)
	}
	return b
}

func (u *pageUnpacker) operations(r *bodyReader, b []byte) []byte {
	n := int(r.uvarint())
	kinds := r.take(n)
	spawns, changes := 0, 0
	for _, k := range kinds {
		switch k {
		case 0:
			spawns++
		case 2, 3:
			changes++
		}
	}
	ids, generations, tables, components := r.values(n, 4), r.values(spawns, 4), r.values(spawns, 4), r.values(changes, 2)
	var ops []byte
	id := uint32(0)
	for i, k := range kinds {
		z := uint32(number(ids[i]))
		id += z>>1 ^ -(z & 1)
		ops = binary.AppendUvarint(append(ops, k), uint64(id))
		switch k {
		case 0:
			ops = binary.AppendUvarint(binary.AppendUvarint(ops, number(generations[0])), number(tables[0]))
			generations, tables = generations[1:], tables[1:]
		case 2, 3:
			ops = binary.AppendUvarint(ops, number(components[0]))
			components = components[1:]
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	return append(binary.AppendUvarint(b, uint64(len(ops))), ops...)
}

func (u *pageUnpacker) components(r *bodyReader) (b []byte) {
	type row struct {
		component int
		id        uint32
		value     []byte // residuals, then the decoded words
	}
	type column struct {
		component int
		ids       []byte
		rows      []row
	}
	var columns []column
	for k := int(r.uvarint()); k > 0; k = int(r.uvarint()) {
		c := column{component: k - 1}
		n, from, id := int(r.uvarint()), r.b, uint32(0)
		for range n {
			z := uint32(r.uvarint())
			id += z>>1 ^ -(z & 1)
			c.rows = append(c.rows, row{component: k - 1, id: id})
		}
		c.ids = from[:len(from)-len(r.b)]
		for i, v := range r.values(n, u.packed[k-1]) {
			c.rows[i].value = v
		}
		columns = append(columns, c)
	}
	if len(r.b) > 0 {
		panic("bytes left")
	}
	times := map[[2]uint32]int{} // number of values in the group before this tick
	for _, sums := range []bool{false, true} {
		for _, c := range columns {
			for _, row := range c.rows {
				k := [2]uint32{uint32(row.component), row.id}
				if !sums {
					if u.last[row.component][row.id] != nil {
						times[k] = 1
						if u.before[row.component][row.id] != nil {
							times[k] = 2
						}
					}
					u.remember(row.component, row.id, times[k])
				}
				for _, w := range u.words[row.component] {
					if (w.how == 3) == sums {
						u.word(row.component, row.id, w, row.value, times[k])
					}
				}
			}
		}
	}
	for _, c := range columns {
		b = binary.AppendUvarint(b, uint64(c.component)+1)
		b = binary.AppendUvarint(b, uint64(len(c.rows)))
		for _, row := range c.rows {
			b = append(b, row.value...)
		}
		b = append(b, c.ids...)
	}
	return append(b, 0)
}

// remember makes room for a value.
func (u *pageUnpacker) remember(component int, id uint32, times int) {
	if times == 0 {
		u.last[component][id] = make([]byte, u.packed[component])
	}
	if times == 1 {
		u.before[component][id] = make([]byte, u.packed[component])
	}
}

// word replaces a residual by the word that it encodes.
func (u *pageUnpacker) word(component int, id uint32, w pageWord, value []byte, times int) {
	mask := ^uint64(0) >> (64 - 8*w.width)
	last, before := u.last[component][id][w.at:], u.before[component][id]
	z := number(value[w.at:][:w.width])
	d := z>>1 ^ -(z & 1)
	x := z
	switch {
	case w.how == 0:
	case times == 0:
		x = d
	case w.how == 3 && u.source(id, w) != nil:
		x = d + pageAdd(number(last[:w.width]), number(u.source(id, w)), w.width)
	case w.how >= 2 && times == 2:
		x = d + 2*number(last[:w.width]) - number(before[w.at:][:w.width])
	default:
		x = d + number(last[:w.width])
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], x&mask)
	copy(value[w.at:], b[:w.width])
	if before != nil {
		copy(before[w.at:], last[:w.width])
	}
	copy(last, b[:w.width])
}

func (u *pageUnpacker) source(id uint32, w pageWord) []byte {
	for _, s := range w.sources {
		if v := u.last[s[0]][id]; v != nil {
			return v[u.words[s[0]][s[1]].at:][:w.width]
		}
	}
	return nil
}

func pageAdd(a, b uint64, width int) uint64 {
	if width == 4 {
		x := math.Float32frombits(uint32(a)) + math.Float32frombits(uint32(b))
		if math.IsNaN(float64(x)) {
			return a
		}
		return uint64(math.Float32bits(x))
	}
	x := math.Float64frombits(a) + math.Float64frombits(b)
	if math.IsNaN(x) {
		return a
	}
	return math.Float64bits(x)
}
