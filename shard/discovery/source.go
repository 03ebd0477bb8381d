package discovery

import "context"

// Source is a part of the coordination service: the instances of services, which a [Directory] follows, or the shards, which
// package room's Registry follows. Package shard/etcd implements it. Implementations must be safe for concurrent use. The revision grows with every change; if it goes back, the source
// has lost data.
type Source interface {
	// String names the source in messages.
	String() string
	// List returns all entries and the revision at which they were read. It waits a bounded time.
	List(ctx context.Context) (all []Entry, revision int64, err error)
	// Watch calls f with every change after a revision, one after another, until ctx ends or the watch breaks. It
	// always returns an error, the reason why it ended.
	Watch(ctx context.Context, revision int64, f func(Changes)) error
	// Revision returns the current revision. An answer shows that the source works. It waits a bounded time.
	Revision(ctx context.Context) (int64, error)
}

// Entry is one key of a source.
type Entry struct {
	Key      string // <type>/<id> of an instance, <id>/<part> of a shard
	Value    []byte // JSON: an [Instance], or a part of a shard's entries
	Revision int64  // of the last change
	Lease    int64  // of the process that wrote it; 0: none
	Gone     bool   // set by a watch: the entry was removed and has no value
}

// Changes are the changes that a watch delivers at once.
type Changes struct {
	Entries  []Entry
	Revision int64 // of the source, after the changes
}
