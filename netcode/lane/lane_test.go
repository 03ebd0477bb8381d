package lane

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/xtaci/kcp-go/v5"

	"github.com/ferris1/wind/netcode/frame"
)

var seed = flag.Uint64("seed", 0, "seed of the lossy link; 0 picks one")

// pair holds two lanes over a link that loses and swaps packets.
type pair struct {
	a, b           *Lane
	toA, toB       [][]byte
	scratch        []byte
	gotA, gotB     []byte
	sentA, updates int
}

func newPair() *pair {
	p := &pair{scratch: make([]byte, ScratchSize)}
	p.a = New(7, func(packet []byte) { p.toB = append(p.toB, bytes.Clone(packet)); p.sentA++ })
	p.b = New(7, func(packet []byte) { p.toA = append(p.toA, bytes.Clone(packet)) })
	return p
}

// exchange updates the busy lanes and delivers the packets that keep accepts.
func (p *pair) exchange(keep func() bool) {
	for _, l := range []*Lane{p.a, p.b} {
		if l.Busy() {
			l.Update()
			p.updates++
		}
	}
	toA, toB := p.toA, p.toB
	p.toA, p.toB = nil, nil
	deliver := func(l *Lane, packets [][]byte, got *[]byte) {
		for _, packet := range packets {
			if keep() {
				_ = l.Input(packet)
			}
		}
		l.Read(p.scratch, func(b []byte) bool { *got = append(*got, b...); return true })
	}
	deliver(p.a, toA, &p.gotA)
	deliver(p.b, toB, &p.gotB)
}

func TestStreamSurvivesALossyLink(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", s)
	rng := rand.New(rand.NewPCG(s, 1))
	p := newPair()
	var sent []byte
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; len(sent) < 60_000 || len(p.gotB) < len(sent); i++ {
		if len(sent) < 60_000 {
			b := make([]byte, 1+rng.IntN(3000))
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
			sent = append(sent, b...)
			p.a.Write(b)
		}
		p.exchange(func() bool { return rng.Float64() > 0.1 })
		time.Sleep(time.Millisecond) // KCP has its own clock
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes after 20 s", len(p.gotB), len(sent))
		}
	}
	if !bytes.Equal(p.gotB, sent) {
		t.Error("the stream is not what was written")
	}
}

func TestWriteAfterSilenceLeavesAtOnce(t *testing.T) {
	p := newPair()
	p.a.Write([]byte("first"))
	p.a.Update()
	time.Sleep(3 * Interval * time.Millisecond)
	before := p.sentA
	p.a.Write([]byte("second"))
	p.a.Update()
	if p.sentA == before {
		t.Error("the write waits for another Update")
	}
}

func TestLaneFallsIdleOnceAllIsAcknowledged(t *testing.T) {
	p := newPair()
	p.a.Write([]byte("hello"))
	all := func() bool { return true }
	for deadline := time.Now().Add(10 * time.Second); p.a.Busy() || p.b.Busy(); {
		p.exchange(all)
		time.Sleep(time.Millisecond)
		if time.Now().After(deadline) {
			t.Fatalf("still busy: a waits for %d, b owes %d", p.a.Waiting(), p.b.owed)
		}
	}
	if string(p.gotB) != "hello" {
		t.Errorf("got %q", p.gotB)
	}
}

func TestOpeningIsTheFirstDataSegmentOnly(t *testing.T) {
	p := newPair()
	p.a.Write([]byte("hello"))
	p.a.Update()
	packet := p.toB[0]
	if conv, data, ok := Opening(packet); !ok || conv != 7 || string(data) != "hello" {
		t.Fatalf("got %d %q %v", conv, data, ok)
	}
	for name, spoil := range map[string]func(b []byte){
		"an acknowledgement": func(b []byte) { b[4] = kcp.IKCP_CMD_ACK },
		"a later segment":    func(b []byte) { b[12] = 1 },
		"a fragment":         func(b []byte) { b[5] = 1 },
		"a false length":     func(b []byte) { b[20], b[23] = 200, 0xFF },
		"conversation 0":     func(b []byte) { b[0] = 0 },
	} {
		b := bytes.Clone(packet)
		spoil(b)
		if _, _, ok := Opening(b); ok {
			t.Errorf("%s opened a conversation", name)
		}
	}
}

func FuzzInput(f *testing.F) {
	p := newPair()
	p.a.Write(bytes.Repeat([]byte("wind"), 1000))
	p.a.Update()
	for _, packet := range p.toB {
		f.Add(packet)
	}
	scratch := make([]byte, ScratchSize)
	f.Fuzz(func(t *testing.T, packet []byte) {
		l := New(7, func(b []byte) {
			if len(b) > frame.MTU {
				t.Fatalf("sent %d bytes", len(b))
			}
		})
		Opening(packet)
		for range 3 {
			_ = l.Input(packet)
			l.Read(scratch, func([]byte) bool { return true })
			l.Update()
		}
	})
}

func TestAPacketLongerThanKCPsBuffersIsRefused(t *testing.T) {
	p := newPair()
	p.a.Write(make([]byte, 100))
	p.a.Update()
	packet := append(bytes.Clone(p.toB[0]), make([]byte, 1500)...)
	packet[20], packet[21] = 0x40, 0x06 // 1,600 bytes of data
	if len(packet) < Overhead+1600 || p.b.Input(packet) == nil {
		t.Error("it was taken")
	}
}
