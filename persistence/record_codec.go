package persistence

import (
	"fmt"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// Encode appends the record's bytes to dst. It depends only on r: equal records
// have equal bytes. If r is invalid or too large, it returns dst unchanged and an error.
func (r *Record) Encode(dst []byte) ([]byte, error) {
	if err := r.validate(); err != nil {
		return dst, fmt.Errorf("persistence: cannot encode %s: %w", place("record", r.Seq, r.FirstTick()), err)
	}
	w := newWriter(dst)
	w.mapLen(7)
	w.uint(keyVersion, uint64(r.version()))
	w.str("kind", r.Kind.String(), maxKindBytes)
	w.uint("epoch", uint64(r.Epoch))
	w.uint("seq", uint64(r.Seq))
	w.bin("prev", r.Prev[:], len(r.Prev))
	switch r.Kind {
	case KindGenesis:
		w.genesis(r.Genesis)
	case KindEpoch:
		w.epochStart(r.EpochStart)
	case KindTicks:
		w.ticks(r.Ticks)
	case KindSeal:
		w.end(r.Seal)
	}
	w.sum(len(dst))
	b, err := w.done()
	if size := len(b) - len(dst); err == nil && size > MaxRecordBytes {
		err = fmt.Errorf("%d bytes, at most %d are allowed", size, MaxRecordBytes)
	}
	if err != nil {
		return dst, fmt.Errorf("persistence: cannot encode %s: %w", place("record", r.Seq, r.FirstTick()), err)
	}
	return b, nil
}

func (w *writer) genesis(g *Genesis) {
	w.key("genesis")
	w.mapLen(9)
	w.str("lineage", g.Lineage, maxLineage)
	w.str("cluster", g.Cluster, ecs.MaxName)
	w.str("shard", g.Shard, ecs.MaxName)
	w.str("game", g.Game, maxNameBytes)
	w.text("options", g.Options, maxSchemaBytes)
	w.uint("seed", g.Seed)
	w.uint("rate", uint64(g.TickRate))
	w.text("schema", g.Schema, maxSchemaBytes)
	w.build(g.Build)
}

func (w *writer) epochStart(s *EpochStart) {
	w.key("start")
	w.mapLen(4)
	w.str("node", s.Node, maxNameBytes)
	w.uint("from", s.From)
	w.text("schema", s.Schema, maxSchemaBytes)
	w.build(s.Build)
}

func (w *writer) end(s *Seal) {
	w.key("end")
	entries := 4
	if s.Result != nil {
		entries++
	}
	w.mapLen(entries)
	w.str("node", s.Node, maxNameBytes)
	w.uint("tick", s.Tick)
	w.str("reason", string(s.Reason), maxKindBytes)
	w.str("by", s.By, maxNameBytes)
	if s.Result != nil {
		w.key("result")
		w.mapLen(2)
		w.str("name", s.Result.Name, maxNameBytes)
		w.bin("payload", s.Result.Payload, MaxRecordBytes)
	}
}

func (w *writer) build(b ecs.Build) {
	w.key("build")
	w.mapLen(6)
	w.str("id", b.ID, maxNameBytes)
	w.str("go", b.GoVersion, maxNameBytes)
	w.str("os", b.GOOS, maxNameBytes)
	w.str("arch", b.GOARCH, maxNameBytes)
	w.str("amd64", b.GOAMD64, maxNameBytes)
	w.fixed("schema", b.SchemaHash)
}

func (w *writer) ticks(ticks []TickRecord) {
	w.array("ticks", len(ticks), MaxTicks)
	for i := range ticks {
		t := &ticks[i]
		entries := 3
		if len(t.Outbox) > 0 {
			entries++
		}
		if len(t.Failures) > 0 {
			entries++
		}
		w.mapLen(entries)
		w.uint("tick", t.Tick)
		w.fixed("check", t.Checksum)
		w.bin("frame", t.Frame, MaxRecordBytes)
		w.outbox(t.Outbox)
		w.failures(t.Failures)
	}
}

func (w *writer) outbox(all []ecs.Message) {
	if len(all) == 0 {
		return
	}
	w.array("outbox", len(all), MaxOutbox)
	for i := range all {
		w.mapLen(4)
		w.str("to", all[i].To, maxNameBytes)
		w.str("name", all[i].Name, maxNameBytes)
		w.uint("n", uint64(all[i].N))
		w.bin("payload", all[i].Payload, MaxRecordBytes)
	}
}

// failures omits Failure.Place, which differs between builds.
func (w *writer) failures(all []ecs.Failure) {
	if len(all) == 0 {
		return
	}
	w.array("failures", len(all), MaxOutbox)
	for i := range all {
		w.mapLen(4)
		w.str("system", clip(all[i].System, maxNameBytes), maxNameBytes)
		w.int("command", int64(all[i].Command))
		w.bool("rejected", all[i].Rejected)
		w.str("reason", clip(all[i].Reason, maxTextBytes), maxTextBytes)
	}
}

// DecodeRecord is the inverse of Encode. It returns a *CorruptError for bytes
// that are damaged or not a record and a *VersionError for a newer version, both
// without sequence and tick, which only the caller knows. The frames and payloads
// alias b, which must not change while the record is used. DecodeRecord allocates
// at most a small multiple of len(b).
func DecodeRecord(b []byte) (*Record, error) {
	d, f, version, err := openAs("record", b, MaxRecordBytes, sealVersion)
	if err != nil {
		return nil, err
	}
	r := &Record{}
	kind := f.str("kind", maxKindBytes)
	r.Epoch = Epoch(f.uint("epoch"))
	r.Seq = Seq(f.uint("seq"))
	r.Prev = f.hash("prev")
	switch kind {
	case "genesis":
		r.Kind, r.Genesis = KindGenesis, f.genesis()
	case "epoch":
		r.Kind, r.EpochStart = KindEpoch, f.epochStart()
	case "ticks":
		r.Kind, r.Ticks = KindTicks, f.ticks()
	case "seal":
		r.Kind, r.Seal = KindSeal, f.seal()
	default:
		d.fail("unknown kind %q", kind)
	}
	if d.err == nil && version != uint64(r.version()) {
		d.fail("a record of kind %s has version %d", kind, version)
	}
	if err := d.close(f); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, &CorruptError{What: "record", Reason: err.Error(), Err: err}
	}
	return r, nil
}

func (f *fields) genesis() *Genesis {
	f.need("genesis")
	m := f.r.fields()
	g := &Genesis{
		Lineage: m.str("lineage", maxLineage),
		Cluster: m.str("cluster", ecs.MaxName),
		Shard:   m.str("shard", ecs.MaxName),
		Game:    m.str("game", maxNameBytes),
		Options: m.text("options", maxSchemaBytes),
		Seed:    m.uint("seed"),
	}
	g.TickRate = m.count("rate", 240)
	g.Schema = m.text("schema", maxSchemaBytes)
	g.Build = m.build()
	m.end()
	return g
}

func (f *fields) epochStart() *EpochStart {
	f.need("start")
	m := f.r.fields()
	s := &EpochStart{Node: m.str("node", maxNameBytes), From: m.uint("from"), Schema: m.text("schema", maxSchemaBytes)}
	s.Build = m.build()
	m.end()
	return s
}

func (f *fields) seal() *Seal {
	f.need("end")
	m := f.r.fields()
	s := &Seal{Node: m.str("node", maxNameBytes), Tick: m.uint("tick"), Reason: EndReason(m.str("reason", maxKindBytes)), By: m.str("by", maxNameBytes)}
	if m.has("result") {
		x := f.r.fields()
		s.Result = &ecs.Message{To: ecs.EndAddress, Name: x.str("name", maxNameBytes), Payload: x.bin("payload", MaxRecordBytes)}
		x.end()
	}
	m.end()
	return s
}

func (f *fields) build() (b ecs.Build) {
	f.need("build")
	m := f.r.fields()
	b.ID = m.str("id", maxNameBytes)
	b.GoVersion = m.str("go", maxNameBytes)
	b.GOOS = m.str("os", maxNameBytes)
	b.GOARCH = m.str("arch", maxNameBytes)
	b.GOAMD64 = m.str("amd64", maxNameBytes)
	b.SchemaHash = m.uint("schema")
	m.end()
	return b
}

func (f *fields) ticks() []TickRecord {
	n := f.array("ticks", MaxTicks)
	ticks := make([]TickRecord, n)
	for i := range ticks {
		m := f.r.fields()
		t := &ticks[i]
		t.Tick = m.uint("tick")
		t.Checksum = m.uint("check")
		t.Frame = m.bin("frame", MaxRecordBytes)
		if m.has("outbox") {
			t.Outbox = m.outbox()
		}
		if m.has("failures") {
			t.Failures = m.failures()
		}
		m.end()
	}
	return ticks
}

// outbox allocates as it reads, so that a false length costs no memory.
func (f *fields) outbox() (all []ecs.Message) {
	for n := f.r.readArray(MaxOutbox); n > 0 && f.r.err == nil; n-- {
		m := f.r.fields()
		msg := ecs.Message{To: m.str("to", maxNameBytes), Name: m.str("name", maxNameBytes)}
		msg.N = uint32(m.count("n", 1<<32-1))
		msg.Payload = m.bin("payload", MaxRecordBytes)
		m.end()
		all = append(all, msg)
	}
	return all
}

func (f *fields) failures() (all []ecs.Failure) {
	for n := f.r.readArray(MaxOutbox); n > 0 && f.r.err == nil; n-- {
		m := f.r.fields()
		fail := ecs.Failure{System: m.str("system", maxNameBytes), Command: int(int32(m.int("command")))}
		fail.Rejected = m.bool("rejected")
		fail.Reason = m.str("reason", maxTextBytes)
		m.end()
		all = append(all, fail)
	}
	return all
}

// clip cuts a text to valid UTF-8 of at most limit bytes, so that a long panic
// message cannot prevent a tick from being logged.
func clip(s string, limit int) string {
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}
