package replication

import (
	"math/rand/v2"
	"testing"
)

func TestBitsComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	type item struct {
		v     uint64
		width uint
	}
	var items []item
	var w bitWriter
	for range 10000 {
		width := uint(rng.IntN(65))
		v := rng.Uint64()
		if width < 64 {
			v &= 1<<width - 1
		}
		items = append(items, item{v, width})
		w.put64(v, width)
	}
	r := bitReader{buf: w.close()}
	for i, it := range items {
		if got := r.get64(it.width); got != it.v {
			t.Fatalf("item %d: %d bits are %x, want %x", i, it.width, got, it.v)
		}
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if r.get(8); !r.short {
		t.Fatal("a read past the end went unnoticed")
	}
}

func TestNumbersComeBack(t *testing.T) {
	numbers := []uint32{0, 1, 16, 17, 272, 273, 65808, 65809, 1<<32 - 1}
	var w bitWriter
	for _, v := range numbers {
		w.uint(v)
		for _, c := range []*classes{&wordClasses, &wideClasses} {
			w.classed(uint64(v), c)
		}
	}
	r := bitReader{buf: w.close()}
	for _, v := range numbers {
		if got := r.uint(); got != v {
			t.Fatalf("small %d came back as %d", v, got)
		}
		for _, c := range []*classes{&wordClasses, &wideClasses} {
			if got := r.classed(c); got != uint64(v) {
				t.Fatalf("%v of %d came back as %d", c, v, got)
			}
		}
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

func TestZigzagIsItsOwnInverse(t *testing.T) {
	for _, v := range []int32{0, 1, -1, 7, -8, 1<<31 - 1, -1 << 31} {
		if got := unzigzag(zigzag(v)); got != v {
			t.Errorf("%d came back as %d", v, got)
		}
		if got := unzigzag64(zigzag64(int64(v) << 32)); got != int64(v)<<32 {
			t.Errorf("%d came back as %d", int64(v)<<32, got)
		}
	}
}

func TestAcksCoverTheWindow(t *testing.T) {
	var a acks
	for _, seq := range []uint64{3, 1, 70, 5, 6, 69, 71, 71} {
		a.add(seq)
	}
	var got []uint64
	for seq := range a.each {
		got = append(got, seq)
	}
	want := []uint64{71, 70, 69} // 5 and 6 came when 70 was the last; the window of 71 starts at 7
	if len(got) != len(want) {
		t.Fatalf("acknowledged %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("acknowledged %v, want %v", got, want)
		}
	}
	_, _, back, err := parseAck(appendAck(nil, 9, 8, a))
	if err != nil || back != a {
		t.Fatalf("%+v came back as %+v, %v", a, back, err)
	}
}
