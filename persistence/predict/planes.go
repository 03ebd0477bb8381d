package predict

import (
	"encoding/binary"
	"slices"
)

// appendPlanes appends values of size bytes each as planes: the first bytes of all values, then the second bytes, etc.
func appendPlanes(b, values []byte, size int) []byte {
	if size == 0 {
		return b
	}
	n, at := len(values)/size, len(b)
	b = slices.Grow(b, n*size)[:at+n*size]
	planes := b[at:]
	j := 0
	for ; j+8 <= size; j += 8 {
		eightPlanes(planes[j*n:][:8*n], values, j, size)
	}
	for ; j < size; j++ {
		plane := planes[j*n:][:n]
		for i, k := 0, j; i < n; i, k = i+1, k+size {
			plane[i] = values[k]
		}
	}
	return b
}

// eightPlanes makes the planes of the eight bytes from offset from on of each value, eight values at a time.
func eightPlanes(planes, values []byte, from, size int) {
	n := len(planes) / 8
	i, k := 0, from
	for ; i+8 <= n; i, k = i+8, k+8*size {
		a, b, c, d := word64(values, k), word64(values, k+size), word64(values, k+2*size), word64(values, k+3*size)
		e, f, g, h := word64(values, k+4*size), word64(values, k+5*size), word64(values, k+6*size), word64(values, k+7*size)
		if a|b|c|d|e|f|g|h == 0 { // predicted exactly: the usual case
			for j := range 8 {
				binary.LittleEndian.PutUint64(planes[j*n+i:], 0)
			}
			continue
		}
		// Transpose a matrix of 8 by 8 bytes: swap quarters, then their quarters, then theirs.
		a, e = swapped(a, e, 32, 0x00000000ffffffff)
		b, f = swapped(b, f, 32, 0x00000000ffffffff)
		c, g = swapped(c, g, 32, 0x00000000ffffffff)
		d, h = swapped(d, h, 32, 0x00000000ffffffff)
		a, c = swapped(a, c, 16, 0x0000ffff0000ffff)
		b, d = swapped(b, d, 16, 0x0000ffff0000ffff)
		e, g = swapped(e, g, 16, 0x0000ffff0000ffff)
		f, h = swapped(f, h, 16, 0x0000ffff0000ffff)
		a, b = swapped(a, b, 8, 0x00ff00ff00ff00ff)
		c, d = swapped(c, d, 8, 0x00ff00ff00ff00ff)
		e, f = swapped(e, f, 8, 0x00ff00ff00ff00ff)
		g, h = swapped(g, h, 8, 0x00ff00ff00ff00ff)
		for j, plane := range [8]uint64{a, b, c, d, e, f, g, h} {
			binary.LittleEndian.PutUint64(planes[j*n+i:], plane)
		}
	}
	for ; i < n; i, k = i+1, k+size {
		for j := range 8 {
			planes[j*n+i] = values[k+j]
		}
	}
}

func word64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// swapped exchanges the bits of x above the mask with the bits of y in it.
func swapped(x, y uint64, shift uint, mask uint64) (uint64, uint64) {
	t := (x>>shift ^ y) & mask
	return x ^ t<<shift, y ^ t
}

// fromPlanes is the inverse of appendPlanes. It appends the values to b.
func fromPlanes(b, planes []byte, size int) []byte {
	if size == 0 {
		return b
	}
	n, at := len(planes)/size, len(b)
	b = append(b, planes...)
	values := b[at:]
	for j := range size {
		plane := planes[j*n:][:n]
		for i, k := 0, j; i < n; i, k = i+1, k+size {
			values[k] = plane[i]
		}
	}
	return b
}

// appendOps appends the operations field by field: kinds, ids, then the other fields of each kind.
func appendOps(b []byte, ops []op, scratch *[]byte) []byte {
	b = appendUvarint(b, uint64(len(ops)))
	for _, o := range ops {
		b = append(b, o.kind)
	}
	s, last := (*scratch)[:0], uint32(0)
	for _, o := range ops {
		s = binary.LittleEndian.AppendUint32(s, zigzag32(o.id-last))
		last = o.id
	}
	b = appendPlanes(b, s, 4)
	for _, which := range [...]func(o op) uint32{func(o op) uint32 { return o.a }, func(o op) uint32 { return o.b }} {
		s = s[:0]
		for _, o := range ops {
			if o.kind == opSpawn {
				s = binary.LittleEndian.AppendUint32(s, which(o))
			}
		}
		b = appendPlanes(b, s, 4)
	}
	s = s[:0]
	for _, o := range ops {
		if o.kind == opAdd || o.kind == opRemove {
			s = binary.LittleEndian.AppendUint16(s, uint16(o.a))
		}
	}
	*scratch = s
	return appendPlanes(b, s, 2)
}

// readOps is the inverse of appendOps.
func readOps(r *reader, ops []op, scratch *[]byte) []op {
	kinds := r.take(r.count(1 + 4))
	spawns, changes := 0, 0
	ops = ops[:0]
	for _, k := range kinds {
		switch k {
		case opSpawn:
			spawns++
		case opAdd, opRemove:
			changes++
		case opDespawn, opGiveBack:
		default:
			r.fail(errBody)
			return ops
		}
		ops = append(ops, op{kind: k})
	}
	planes := func(n, size int) []byte {
		*scratch = fromPlanes((*scratch)[:0], r.take(n*size), size)
		return *scratch
	}
	last := uint32(0)
	if ids := planes(len(kinds), 4); r.err == nil {
		for i := range ops {
			last += unzigzag32(binary.LittleEndian.Uint32(ids[4*i:]))
			ops[i].id = last
		}
	}
	for _, set := range [...]func(o *op, v uint32){func(o *op, v uint32) { o.a = v }, func(o *op, v uint32) { o.b = v }} {
		v := planes(spawns, 4)
		for i := range ops {
			if ops[i].kind == opSpawn && r.err == nil {
				set(&ops[i], binary.LittleEndian.Uint32(v))
				v = v[4:]
			}
		}
	}
	v := planes(changes, 2)
	for i := range ops {
		if (ops[i].kind == opAdd || ops[i].kind == opRemove) && r.err == nil {
			ops[i].a = uint32(binary.LittleEndian.Uint16(v))
			v = v[2:]
		}
	}
	return ops
}
