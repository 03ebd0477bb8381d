package replication

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestBadTagsAreRefused: the error names the field's path.
func TestBadTagsAreRefused(t *testing.T) {
	for _, tag := range []string{"q=0", "q=-1", "q=x", "q=0.01,range=5..5", "q=0.01,range=5", "range=0..5", "q=1e-9,range=-1000..1000", "visibility=owner", "quant=1", "q=NaN", "q=1,range=-Inf..Inf"} {
		s := &ecs.Schema{Components: []ecs.Type{{
			Name: "place", Size: 8, Packed: 8, Replicated: true,
			Fields: []ecs.Field{{Path: "Box.X", Kind: ecs.KindF64, Count: 1, Width: 8, Tag: tag}},
		}}}
		if _, err := New(s, Config{}); err == nil || !strings.Contains(err.Error(), `"place": field Box.X`) {
			t.Errorf("tag %q: %v", tag, err)
		}
	}
}

// TestBadConfigsAreRefused: New refuses a bad Config.
func TestBadConfigsAreRefused(t *testing.T) {
	for _, c := range []Config{{CellMetres: -1}, {RadiusMetres: 1e9}, {PacketBytes: 10}, {BudgetBytes: 1}, {HistoryTicks: 1}, {HysteresisMetres: 100, CellMetres: 1, RadiusMetres: 1}} {
		if _, err := New(&ecs.Schema{}, c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// TestQuantisationClampsAndRounds: at both ends of the range, and for infinities and NaN.
func TestQuantisationClampsAndRounds(t *testing.T) {
	f := ecs.Field{Kind: ecs.KindF64, Count: 1, Width: 8}
	s, err := newSlot(&f, ecs.FieldTag{Step: 0.01, Low: -1000, Steps: 2000})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[float64]float64{0: 0, 1.234: 1.23, 1.236: 1.24, -1.236: -1.24, 99: 10, -99: -10, inf(1): 10, inf(-1): -10, nan(): -10} {
		if got := s.value(s.step(in)); got != want {
			t.Errorf("%v travels as %v, want %v", in, got, want)
		}
	}
	if s.bits != 11 {
		t.Errorf("2,001 steps take %d bits", s.bits)
	}
}

func inf(sign int) float64 { return float64(sign) / zero }
func nan() float64         { return zero / zero }

var zero float64

// TestForeignAcksDoNothing: and damaged ones are errors.
func TestForeignAcksDoNothing(t *testing.T) {
	s := newSim(t, 13, Config{}, 1)
	s.mood(true, 50)
	s.step()
	good := s.clients[0].mirror.AppendAck(nil)
	for n := range good {
		if err := s.enc.Ack(1, good[:n]); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(good))
		}
	}
	if err := s.enc.Ack(1, append(slices.Clone(good), 0)); err == nil {
		t.Error("an extra byte was accepted")
	}
	if err := s.enc.Ack(77, good); err != nil {
		t.Error(err)
	}
	future := binary.LittleEndian.AppendUint64(binary.AppendUvarint([]byte{CodecBits, 1, 1}, 1<<40), ^uint64(0))
	if err := s.enc.Ack(1, future); err != nil {
		t.Error(err)
	}
	for range 20 {
		s.step()
	}
	s.check(s.clients[0])
}
