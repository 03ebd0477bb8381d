// Package persistence has the formats in which Wind keeps a shard: the record
// of its log, the delta of its delta stream, the snapshot and the export file,
// and what can be done with them without any server: prove a log, replay it,
// check it against its deltas and snapshots, count it, carry it away in a file.
//
// FORMAT.md, beside this file, specifies every byte.
//
//	write a record        Chain.Seal, then the log's Append, then Chain.Advance
//	read a log            Chain.Next over Log.Read
//	from log to world     Resimulate (one record), Replay (a log), Replay with FromDeltas
//	is it all right       Check: every finding with sequence and tick
//	how large is it       Stat
//	carry it away         Export, OpenFile, Import
//	without a server      Memory
//
// What reads a log takes the small interfaces LogReader, DeltaReader and
// SnapshotReader; Memory, File and package persistence/jetstream have them.
//
// # Decisions
//
// Every envelope is a msgpack map whose first key is "v" and whose last is
// "sum", the 64-bit xxh3 of all bytes before its value. So damage is told from
// age in any version, and an altered record is named itself, not only by the
// record behind it, and even when it is the last. A version fixes the set of
// keys and their order: an unknown key is refused, a new key is a new version.
// Nothing of the truth is ever skipped because this build does not know it.
//
// A record holds its own sequence and the 128-bit xxh3 of the body before it.
// Equal hashes mean equal histories down to genesis, whose lineage therefore
// stands once in the log and not in every record. Hashes protect against
// accidents and splices, not against an attacker who can write to the store.
//
// Frames stay opaque here (ecs owns them) and name command kinds by their index
// in the schema, which genesis and epoch records hold.
//
// Recorded of a tick are its frame, its checksum, its outbox and recovered
// panics. Rejections are left out: a replay finds them again, and clients cause
// them at will.
//
// Replay compares checksum, outbox and the failures' places for each tick, and
// stops at the first that differs: behind it every tick would differ.
//
// A cut tail cannot be seen from the log alone. History compares the log with
// what else knows of it (the delta stream, the snapshots, etcd's high-water
// mark), and knows which losses an operator accepted. It is the only rule: a
// shard's owner, the check of a stopped store and log check ask it.
//
// # Versions
//
// Each kind of envelope has versions of its own: a packed delta is of version
// 2, all others are of version 1. open (wire.go) is the one place where a version is
// recognised: a newer one is a *VersionError that names both. The decoders of
// all versions of a kind give the same Go types.
// Component schemas evolve by name, inside the bodies, in ecs.
package persistence
