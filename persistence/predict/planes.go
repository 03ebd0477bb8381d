package predict

import "encoding/binary"

// appendPlanes appends values of size bytes each as planes: the first bytes of all values, then the second bytes, etc.
func appendPlanes(b, values []byte, size int) []byte {
	if size == 0 {
		return b
	}
	n, at := len(values)/size, len(b)
	b = append(b, values...)
	for j := range size {
		plane := b[at+j*n:][:n]
		for i, k := 0, j; i < n; i, k = i+1, k+size {
			plane[i] = values[k]
		}
	}
	return b
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
