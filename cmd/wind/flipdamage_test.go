package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// damage is what a disk or a hand does to a data directory.
type damage struct {
	what string
	do   func(dir string) error
}

// damage returns the i-th of a seed: of six, four are a random bit anywhere, one is a bit of a sequence or a length, one is
// to a whole file.
func (o *original) damage(seed uint64, i int) damage {
	rnd := rand.New(rand.NewPCG(seed, uint64(i)))
	file := o.files[rnd.IntN(len(o.files))]
	switch i % 6 {
	case 4:
		return o.fieldFlip(rnd)
	case 5:
		return o.fileDamage(rnd, file)
	}
	b, err := os.ReadFile(filepath.Join(o.dir, file))
	if err != nil {
		return damage{what: file, do: func(string) error { return err }}
	}
	bit := rnd.IntN(8 * max(1, used(b)))
	return flipOf(file, bit)
}

// used is the length of a file without the zeros that it was given in advance.
func used(b []byte) int {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

func flipOf(file string, bit int) damage {
	return damage{what: fmt.Sprintf("bit %d of byte %d of %s", bit%8, bit/8, file), do: func(dir string) error {
		return rewrite(filepath.Join(dir, file), func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
	}}
}

func rewrite(path string, change func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, change(b), 0o600)
}

// fieldFlip flips a bit of a message's length or sequence in a block of nats-server's, or of a record's length in etcd's
// write-ahead log.
func (o *original) fieldFlip(rnd *rand.Rand) damage {
	files := slices.DeleteFunc(slices.Clone(o.files), func(f string) bool { return !strings.HasSuffix(f, ".blk") && !strings.HasSuffix(f, ".wal") })
	file := files[rnd.IntN(len(files))]
	b, err := os.ReadFile(filepath.Join(o.dir, file))
	if err != nil {
		return damage{what: file, do: func(string) error { return err }}
	}
	var begins []int
	field := 12 // length and sequence
	if strings.HasSuffix(file, ".wal") {
		field = 8
	}
	for at := 0; at+8 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[at:]) &^ (1 << 31))
		if field == 8 {
			word := binary.LittleEndian.Uint64(b[at:])
			n = 8 + int(word&(1<<56-1)) + int(word>>56&7)
			if word == 0 {
				break
			}
		}
		if n < 8 {
			break
		}
		begins = append(begins, at)
		at += n
	}
	if len(begins) == 0 {
		return flipOf(file, 0)
	}
	return flipOf(file, 8*begins[rnd.IntN(len(begins))]+rnd.IntN(8*field))
}

// fileDamage is done to a whole file.
func (o *original) fileDamage(rnd *rand.Rand, file string) damage {
	switch rnd.IntN(5) {
	case 0:
		return damage{what: file + " removed", do: func(dir string) error { return os.Remove(filepath.Join(dir, file)) }}
	case 1:
		return damage{what: file + " zeroed", do: func(dir string) error {
			return rewrite(filepath.Join(dir, file), func(b []byte) []byte { return make([]byte, len(b)) })
		}}
	case 2:
		return damage{what: file + " emptied", do: func(dir string) error { return os.Truncate(filepath.Join(dir, file), 0) }}
	case 3:
		other := o.files[rnd.IntN(len(o.files))]
		return damage{what: file + " swapped with " + other, do: func(dir string) error {
			a, b, between := filepath.Join(dir, file), filepath.Join(dir, other), filepath.Join(dir, "between")
			if a == b {
				return nil
			}
			for _, move := range [][2]string{{a, between}, {b, a}, {between, b}} {
				if err := os.Rename(move[0], move[1]); err != nil {
					return err
				}
			}
			return nil
		}}
	}
	share := rnd.Float64()
	return damage{what: fmt.Sprintf("%s cut to %.0f %%", file, 100*share), do: func(dir string) error {
		return rewrite(filepath.Join(dir, file), func(b []byte) []byte { return b[:int(share*float64(used(b)))] })
	}}
}
