package etcd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
)

// This file reads bbolt's pages (version 2 of its format) with bounds checks. bbolt itself maps the file, and access to
// a missing page ends the process with a fault that cannot be recovered. Its own check panics in goroutines that it
// starts.

// Constants of bbolt's format. A page begins with its id (8 bytes), flags (2), count (2) and the number of pages that
// follow it (4). An element of a branch has position (4), key size (4) and page (8); an element of a leaf has flags
// (4), position (4), key size (4) and value size (4). Positions count from the element. A bucket's value is its root
// page (8) and a sequence (8); without a root page, a leaf follows.
const (
	pageHead     = 16
	elementBytes = 16
	bucketBytes  = 16

	pageBranch = 0x01
	pageLeaf   = 0x02

	leafBucket = 0x01

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaBytes   = 64 // with the checksum in the last 8
)

// maxDepth exceeds the depth of any tree in a db within etcd's quota.
const maxDepth = 64

// boltMeta is the content of a meta page.
type boltMeta struct {
	pageSize int64
	root     uint64
	pages    uint64 // in use: one above the highest id
	txid     uint64
}

// boltFile reads the pages of a db.
type boltFile struct {
	f    *os.File
	meta boltMeta
	seen []uint64 // one bit per page that was read
	take func(bucket string, key, value []byte) error
}

// walkDB proves that the pages of a db form a tree as bbolt makes it, and passes the entries of its top-level buckets
// to take.
func walkDB(path string, take func(bucket string, key, value []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	meta, err := readMeta(f)
	if err != nil {
		return err
	}
	if need := int64(meta.pages) * meta.pageSize; meta.pages > 1<<32 || info.Size() < need {
		return fmt.Errorf("it has %d bytes, and %d pages of %d bytes are in use", info.Size(), meta.pages, meta.pageSize)
	}
	b := &boltFile{f: f, meta: meta, seen: make([]uint64, meta.pages/64+1), take: take}
	return b.tree(meta.root, "", nil, nil, 0)
}

// readMeta returns the newer valid meta page of the two, as bbolt does.
func readMeta(f *os.File) (boltMeta, error) {
	var newest boltMeta
	for size := int64(1 << 10); size <= 1<<16; size <<= 1 { // the meta pages themselves contain the page size
		for _, at := range []int64{0, size} {
			if m, ok := metaAt(f, at); ok && m.pageSize == size && m.txid >= newest.txid {
				newest = m
			}
		}
	}
	if newest.pageSize == 0 {
		return newest, errors.New("it has no valid meta page")
	}
	return newest, nil
}

func metaAt(f *os.File, at int64) (m boltMeta, ok bool) {
	b := make([]byte, metaBytes)
	if _, err := f.ReadAt(b, at+pageHead); err != nil {
		return m, false
	}
	sum := fnv.New64a()
	sum.Write(b[:metaBytes-8])
	le := binary.LittleEndian
	if le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != metaVersion || sum.Sum64() != le.Uint64(b[metaBytes-8:]) {
		return m, false
	}
	return boltMeta{pageSize: int64(le.Uint32(b[8:])), root: le.Uint64(b[16:]), pages: le.Uint64(b[40:]), txid: le.Uint64(b[48:])}, true
}

// page reads a page and its overflow pages, and marks them as read.
func (b *boltFile) page(id uint64) ([]byte, error) {
	head := make([]byte, pageHead)
	if id < 2 || id >= b.meta.pages {
		return nil, fmt.Errorf("page %d of %d", id, b.meta.pages)
	}
	if _, err := b.f.ReadAt(head, int64(id)*b.meta.pageSize); err != nil {
		return nil, err
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if own := binary.LittleEndian.Uint64(head); own != id || id+more >= b.meta.pages {
		return nil, fmt.Errorf("page %d says that it is page %d, with %d more", id, own, more)
	}
	for p := id; p <= id+more; p++ {
		if b.seen[p/64]>>(p%64)&1 != 0 {
			return nil, fmt.Errorf("page %d is used twice", p)
		}
		b.seen[p/64] |= 1 << (p % 64)
	}
	body := make([]byte, int64(more+1)*b.meta.pageSize)
	_, err := b.f.ReadAt(body, int64(id)*b.meta.pageSize)
	return body, err
}

// tree walks the subtree of a page. Its keys must be at least low and below high; nil means no bound.
func (b *boltFile) tree(id uint64, bucket string, low, high []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d lies %d pages deep", id, depth)
	}
	page, err := b.page(id)
	if err == nil {
		err = b.node(page, bucket, low, high, depth)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// node walks the elements of a page, which may be embedded in a bucket's value.
func (b *boltFile) node(page []byte, bucket string, low, high []byte, depth int) error {
	if len(page) < pageHead {
		return errors.New("it is too short")
	}
	flags, count := binary.LittleEndian.Uint16(page[8:]), int(binary.LittleEndian.Uint16(page[10:]))
	if flags != pageBranch && flags != pageLeaf || pageHead+count*elementBytes > len(page) || flags == pageBranch && count == 0 {
		return fmt.Errorf("flags %#x and %d elements", flags, count)
	}
	keys := make([][]byte, count)
	for i := range keys {
		key, err := part(page, i, flags, 0)
		if err != nil {
			return err
		}
		if keys[i] = key; i > 0 && bytes.Compare(keys[i-1], key) >= 0 || low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("key %d is out of order", i)
		}
	}
	for i, key := range keys {
		if err := b.element(page, i, flags, bucket, keys, key, high, depth); err != nil {
			return err
		}
	}
	return nil
}

func (b *boltFile) element(page []byte, i int, flags uint16, bucket string, keys [][]byte, key, high []byte, depth int) error {
	if flags == pageBranch {
		next := high
		if i+1 < len(keys) {
			next = keys[i+1]
		}
		child := binary.LittleEndian.Uint64(page[pageHead+i*elementBytes+8:])
		return b.tree(child, bucket, key, next, depth+1)
	}
	value, err := part(page, i, flags, 1)
	if err != nil {
		return err
	}
	switch kind := binary.LittleEndian.Uint32(page[pageHead+i*elementBytes:]); {
	case kind == leafBucket && bucket == "" && len(key) > 0:
		return b.bucket(string(key), value, depth)
	case kind == 0 && bucket != "":
		return b.take(bucket, key, value)
	default:
		return fmt.Errorf("element %d has kind %d", i, kind)
	}
}

// bucket walks a bucket. etcd does not nest buckets.
func (b *boltFile) bucket(name string, value []byte, depth int) error {
	if len(value) < bucketBytes {
		return fmt.Errorf("bucket %q is too short", name)
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return b.tree(root, name, nil, nil, depth+1)
	}
	return b.node(slices.Clone(value[bucketBytes:]), name, nil, nil, depth+1)
}

// part returns the key (which 0) or the value (which 1) of an element. It returns an error if that exceeds the page.
func part(page []byte, i int, flags uint16, which int) ([]byte, error) {
	at := pageHead + i*elementBytes
	e := page[at : at+elementBytes]
	le := binary.LittleEndian
	from, size, value := uint64(at)+uint64(le.Uint32(e)), uint64(le.Uint32(e[4:])), uint64(0)
	if flags == pageLeaf {
		from, size, value = uint64(at)+uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
	}
	if from+size+value > uint64(len(page)) {
		return nil, fmt.Errorf("element %d ends at byte %d of %d", i, from+size+value, len(page))
	}
	if which == 1 {
		return page[from+size : from+size+value], nil
	}
	return page[from : from+size], nil
}
