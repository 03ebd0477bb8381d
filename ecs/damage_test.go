package ecs_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// damage changes, inserts and removes a few bytes.
func damage(r *rand.Rand, b []byte) []byte {
	c := append([]byte(nil), b...)
	for range 1 + r.IntN(4) {
		if len(c) == 0 {
			break
		}
		i := r.IntN(len(c))
		switch r.IntN(5) {
		case 0:
			c[i] = byte(r.IntN(256))
		case 1:
			c[i] ^= 1 << r.IntN(8)
		case 2:
			c = append(c[:i], c[i+1:]...)
		case 3:
			c = append(c[:i], append([]byte{byte(r.IntN(256))}, c[i:]...)...)
		case 4: // a number that is too large
			for k := i; k < min(i+9, len(c)); k++ {
				c[k] = 0xFF
			}
		}
	}
	return c
}

// TestDamagedBytesAreRefusedOrUsable damages snapshots and deltas at random. Where only the checksum speaks
// against the damage it is corrected, so that the parser alone stands between the bytes and the world.
func TestDamagedBytesAreRefusedOrUsable(t *testing.T) {
	r := rand.New(rand.NewPCG(historySeed(t), 2))
	delta, snapshot := read(t, "delta-3.bin"), read(t, "snapshot-3.bin")
	usable := 0
	for range 1500 {
		var wrong *ecs.ChecksumError
		b := damage(r, delta)
		if err := fuzzWorld(t).Apply(b); errors.As(err, &wrong) {
			_, n := binary.Uvarint(b)
			binary.LittleEndian.PutUint64(b[n:], wrong.Got)
			w := fuzzWorld(t)
			if err := w.Apply(b); err != nil {
				t.Fatal(err)
			}
			alive(t, w)
			usable++
		}
		b = damage(r, snapshot)
		if _, err := ecs.Restore(chaos, b); errors.As(err, &wrong) {
			binary.LittleEndian.PutUint64(b[5:], wrong.Got)
			w, err := ecs.Restore(chaos, b)
			if err != nil {
				t.Fatal(err)
			}
			if w.Tick() < 1<<63 {
				alive(t, w)
			}
			usable++
		}
	}
	if usable < 100 {
		t.Errorf("only %d damaged ones came past the parser", usable)
	}
}
