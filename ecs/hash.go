package ecs

import "math/bits"

// Odd constants with well-distributed bits: 2^64 divided by the golden ratio, and primes of wyhash.
const (
	k0 = 0x9E3779B97F4A7C15
	k1 = 0xD6E8FEB86659FD93
	k2 = 0xA0761D6478BD642F
	k3 = 0xE7037ED1A0B428DB
)

// mum multiplies to 128 bits and folds them: the mixing step of wyhash (github.com/wangyi-fudan/wyhash). It takes one
// multiplication, about a nanosecond.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// nameSeed turns a registered name into a hash key, so that checksums and random streams depend on names and not on the
// order of registration.
func nameSeed(s string) uint64 {
	h := uint64(k2) ^ uint64(len(s))
	for i := 0; i < len(s); i++ {
		h = mum(h^uint64(s[i]), k1)
	}
	return h
}

// bytesHash hashes b with a key.
func bytesHash(key uint64, b []byte) uint64 {
	h := mum(key^k2, uint64(len(b))^k3)
	for len(b) >= 8 {
		h = mum(h^le64(b), k1)
		b = b[8:]
	}
	var last uint64
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	return mum(h^last, k0)
}

// stringHash is bytesHash for a string, without a copy.
func stringHash(key uint64, s string) uint64 {
	h := mum(key^k2, uint64(len(s))^k3)
	for len(s) >= 8 {
		var v uint64
		for i := range 8 {
			v |= uint64(s[i]) << (8 * i)
		}
		h = mum(h^v, k1)
		s = s[8:]
	}
	var last uint64
	for i := 0; i < len(s); i++ {
		last |= uint64(s[i]) << (8 * i)
	}
	return mum(h^last, k0)
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// layoutHash hashes an entity with its table and row.
func layoutHash(e Entity, table, row int) uint64 {
	return mum(e.key()^k3, (uint64(table)<<32|uint64(uint32(row)))^k2)
}
