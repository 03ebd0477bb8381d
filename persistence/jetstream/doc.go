// Package jetstream stores shards on NATS JetStream, on an embedded server or on an existing cluster: their logs, delta
// streams and snapshots, and the values that services store.
//
// # What is stored where
//
//	stream WIND_<cluster>_<shard>             subject wind.<cluster>.<shard>.<lineage>.log
//	stream WIND_<cluster>_<shard>_DELTA       subject wind.<cluster>.<shard>.<lineage>.delta
//	object store WIND_<cluster>_snapshots     objects <shard>/<epoch>-<seq>-<checksum>, of rooms on subjects of their own
//	key-value bucket WIND_<cluster>_<name>    values of services (KV): stream KV_WIND_…
//
// Cluster and shard names are [a-z0-9-]{1,40}. Upper case and the underscore only separate them, so no two streams can
// share a name. The subject contains the lineage, a UUID made at genesis. A stream that was deleted and recreated has
// another lineage and is refused: its sequences start again at zero and would break the fence.
//
// # Partitions
//
// Rooms come and go by the thousand, so they get no streams of their own. They share eight partitions; the CRC-32 of a
// room's name chooses one:
//
//	stream WIND_<cluster>_R<k>          wind.<cluster>.R<k>.<shard>.<lineage>.log     records, except the last
//	                                    wind.<cluster>.R<k>.<shard>.<lineage>.seal    the last record of an ended room
//	                                    wind.<cluster>.R<k>.<shard>.<lineage>         notes about the log
//	stream WIND_<cluster>_R<k>_DELTA    wind.<cluster>.R<k>.<shard>.<lineage>.delta   deltas
//
// A record's sequence counts the records of its shard. In a stream of its own that is the stream's sequence; in a
// partition, the header Wind-Seq holds it, and Log maps one to the other. Wind-Bytes counts what the shard's records
// took so far, so that each room has a limit of its own. Storing a message costs more than what is in it, so a partition has
// many deltas in one (Deltas.Publish). A note is a message without a body whose headers say where the
// log may begin (wind-purged-below) and which losses an operator accepted (wind-accepted-losses); in a stream of one
// shard they stand in the stream's metadata.
//
// # The fence
//
// Log.Append publishes with Nats-Expected-Last-Sequence and no other header of that kind. The server compares and
// appends in one step, so if two nodes append after the same record, it refuses one of them with
// persistence.ErrConflict. The caller keeps one append outstanding. With several in flight, a delayed append of a
// paused owner can match again after its successor's record (verified with one replica and with three). Two other
// headers look useful but are never sent: Nats-Expected-Last-Msg-Id wedges a stream of three replicas for good on its
// first mismatch, and the server answers a repeated Nats-Msg-Id before it checks the expected sequence, whatever the
// body is.
//
// In a partition, messages of other shards lie between a shard's records. There Append publishes with
// Nats-Expected-Last-Subject-Sequence, the stream's sequence of the shard's last record, and with
// Nats-Expected-Last-Subject-Sequence-Subject, the shard's own wildcard. Every writer sends the same string, since a
// cluster's leader looks up appends in process by it. The wildcard also matches the seal, whose sequence no writer ever
// expects: the server refuses whatever would follow it. The acknowledged sequence must be greater than the expected one.
//
// If no acknowledgement arrives in time, Append returns persistence.ErrAmbiguous. The record may or may not be stored; the
// owner finds out as its protocol prescribes. The log never retries an append.
//
// # What opening a store can destroy
//
// Without a clean index, nats-server truncates a block of messages at the first flipped bit and reports a shorter log
// that looks intact. Therefore nothing here opens a data directory in place before CheckStore has read its files
// without changing them, and tools work on a copy (OpenCopy). In <dir>/marks, beside the streams, the log of an
// embedded server records the last acknowledged sequence, tick and hash of each shard. If an acknowledged record is
// missing, it is reported as lost, not as never written. A process that purges over the network cannot write there. It
// notes in the stream's metadata, which the store protects with a checksum, where the log may begin.
//
// nats-server also trusts a row's sequence before it checks the row's checksum, and allocates room for every sequence
// in between: one flipped bit can take all memory. StartServer therefore checks all streams before each start. It
// repairs a single flipped bit, as the checksum proves the repair. It moves other damage to deltas and snapshots aside
// into <dir>/damaged, with the original of the block, and logs a warning. It refuses to start if data that exists
// nowhere else (logs, buckets of services) is damaged, and names the stream.
//
// In a partition, damage to one room's record must not stop the others. CheckStore splits the files by subject, proves
// each log by its own chain, mark, deltas and snapshots, and says which logs lost what (StoreState.Damage). A start moves
// the damaged rows aside, and the rooms that lost nothing go on. The caller must keep nodes from serving the others; every
// CheckStore finds a missing record again. The marks of all logs in a partition share one file. Purges by subject leave
// holes in the stream, so a hole proves nothing: each log's numbers and chain do.
//
// # A full disk
//
// nats-server keeps the first error that a stream's store meets while writing and answers no append from then on, even
// after the disk recovers. An embedded server is therefore watched. While a probe in its directory cannot be written
// and synced, appends fail at once with persistence.ErrDiskFull or ErrReadOnly (Server.Trouble). As soon as the probe
// succeeds, the server is restarted in place, on the same port and for the same connections. An append that was under
// way is ambiguous, as after any missing answer. For an external server, this package notices only that no answer
// arrives.
//
// # Who may do what
//
// A process that embeds the server has all rights over an in-process connection. A client that connects to the loopback
// port without a password may read (stream ls, info, view, get, object and key-value reads, micro ls, info and stats)
// and change nothing. A user and password open the port to other nodes (`wind infra`). This keeps tools from doing
// harm. It does not stop a hostile local user: the server sends an answer to whatever subject the request names,
// including a shard's (`nats pub '$JS.API.INFO' x --reply wind.…`). The fence notices such a message and the shard
// stops; nothing is overwritten.
package jetstream
