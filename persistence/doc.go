// Package persistence defines the formats in which Wind stores a shard: the
// record of its log, the delta of its delta stream, the snapshot and the export
// file. It also proves, replays, checks, measures, exports and imports a log,
// all without a server.
//
// FORMAT.md, beside this file, specifies every byte.
//
//	write a record            Chain.Seal, then the log's Append, then Chain.Advance
//	read a log                Chain.Next over Log.Read
//	from log to world         Resimulate (one record), Replay (a log), Replay with FromDeltas
//	look for damage           Check: every finding with sequence and tick
//	how a room ended          Record.Seal of the last record, Record.Result
//	measure a log             Stat
//	move it in a file         Export, OpenFile, Import
//	keep an ended room's      Archive, ProveArchive, OpenArchive, in a Folder or another Archives
//	work without a server     Memory
//
// Code that reads a log takes the small interfaces LogReader, DeltaReader and
// SnapshotReader. Memory, File and package persistence/jetstream implement them.
//
// # Decisions
//
// Every envelope is a msgpack map whose first key is "v" and whose last is
// "sum", the 64-bit xxh3 of all bytes before its value. A reader of any version
// can therefore distinguish damage from a newer format, and an altered record is
// detected on its own, even when no record follows it. A version fixes the set
// of keys and their order: readers refuse an unknown key, and a new key needs a
// new version. A reader never skips data because it does not know it.
//
// A record contains its own sequence and the 128-bit xxh3 of the body before it.
// Equal hashes mean equal histories back to genesis, so only genesis stores the
// lineage. Hashes protect against accidents and splices, not against an attacker
// who can write to the store.
//
// Frames are opaque here (ecs owns them). They name command kinds by their index
// in the schema, which genesis and epoch records contain.
//
// A tick's record contains its frame, checksum, outbox and recovered panics. It
// omits rejections: clients can cause any number of them, and a replay
// reproduces them.
//
// Replay compares checksum, outbox and which commands failed for each tick. It
// stops at the first difference, since every later tick would differ too.
//
// The log alone cannot show that its tail was cut. History (history.go) compares
// the log with other evidence (the delta stream, the snapshots, etcd's high-water
// mark) and takes into account which losses an operator accepted. Everything that must
// detect a loss uses it: a shard's owner, the check of a stopped store, and log
// check.
//
// # Versions
//
// Each kind of envelope has its own versions: a packed delta and a seal have
// version 2, several deltas in a message version 3, all others have version 1. Only open (wire.go) reads the version; it returns a
// *VersionError, which names both versions, for a newer one. The decoders of all
// versions of a kind return the same Go types.
// Component schemas evolve by name, inside the bodies, in ecs.
package persistence
