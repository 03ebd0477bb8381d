// Package jetstream keeps shards on NATS JetStream: their logs, their delta
// streams and their snapshots, and what services store, on an embedded server
// or on somebody's cluster.
//
// # What is stored where
//
//	stream WIND_<cluster>_<shard>             subject wind.<cluster>.<shard>.<lineage>.log
//	stream WIND_<cluster>_<shard>_DELTA       subject wind.<cluster>.<shard>.<lineage>.delta
//	object store WIND_<cluster>_snapshots     objects <shard>/<epoch>-<seq>-<checksum>
//	key-value bucket WIND_<cluster>_<name>    values of services (KV): stream KV_WIND_…
//
// Cluster and shard names are [a-z0-9-]{1,40}: upper case and the underscore
// are the separators, so no two streams can share a name. The lineage, a UUID
// made at genesis, stands in the subject: a stream that was deleted and made
// again has another lineage and is refused, because its sequences start again
// at zero and would break the fence.
//
// # The fence
//
// Log.Append publishes with Nats-Expected-Last-Sequence and nothing else. The
// server compares and appends in one step, so of two nodes that append after
// the same record one is refused: that is persistence.ErrConflict. The caller
// keeps one append outstanding; with several in flight, a delayed one of a
// paused owner can match again behind its successor's record (verified, on one
// replica and on three). Two other headers that look useful are never sent:
// Nats-Expected-Last-Msg-Id wedges a stream of three replicas for good on its
// first mismatch, and Nats-Msg-Id is answered before the expectation is
// looked at, whatever the body is.
//
// No acknowledgement in time is persistence.ErrAmbiguous: the record may be
// stored or not, and the owner finds out by the procedure of its protocol.
// Nothing here retries by itself.
//
// # What opening a store can destroy
//
// nats-server truncates a block of messages at the first flipped bit when it
// has no clean index, and reports a shorter log that looks intact. So nothing
// here opens a data directory in place before CheckStore has read its files
// without touching them, and tools work on a copy (OpenCopy). Beside the
// streams, in <dir>/marks, the log of an embedded server writes down the last
// acknowledged sequence, tick and hash of each shard: what was acknowledged
// and is no longer there is reported as lost, not as never written. A process
// that purges over the network cannot write there: it notes in the stream's
// metadata, which the store keeps under a checksum, where the log may begin.
//
// It also believes a row's sequence before it looks at the row's checksum, and
// makes room for every sequence in between: a flipped bit takes all memory. So
// StartServer looks through all streams before each start. A single flipped bit
// is put right, as the checksum proves; other damage to deltas and snapshots is
// set aside in <dir>/damaged, with the original of the block, and said; damage to
// what is nowhere else (logs, buckets of services) is refused by name.
//
// # A disk that is full
//
// nats-server keeps the first error that a stream's store meets while writing,
// and answers no append from then on, whatever becomes of the disk. An embedded
// server is therefore watched: while a probe in its directory cannot be written
// and synced, appends fail at once with persistence.ErrDiskFull or ErrReadOnly
// (Server.Trouble), and as soon as it can, the server is restarted in place, on
// its port and for its connections. That is an append without an answer, like any
// other. Of somebody else's server only the missing answer is known.
//
// # Who may do what
//
// A process that embeds the server has all rights over an in-process
// connection. Whoever connects to the loopback port without a password may
// look (stream ls, info, view, get, object and key-value reads, micro ls, info
// and stats) and change nothing. A user and password open the port for other nodes (`wind infra`).
// That keeps tools from doing harm. It is no wall against a hostile local user:
// the server sends an answer wherever the request asks for it, a shard's subject
// included (`nats pub '$JS.API.INFO' x --reply wind.…`). The fence notices such
// a message and the shard stops; nothing is overwritten.
package jetstream
