package discovery

import "context"

// Source is where instances register: a [Directory] reads it and follows it. shard/etcd.Services implements it.
// Implementations may be called concurrently. Revisions grow with every change; one that went back means that the source
// has lost what it had.
type Source interface {
	// String names the source in messages.
	String() string
	// List returns all entries and the revision at which they were read. It waits a bounded time.
	List(ctx context.Context) (all []Entry, revision int64, err error)
	// Watch calls f with every change behind a revision, one after another, until ctx ends or the watch breaks. It always
	// returns an error, which says why it ended.
	Watch(ctx context.Context, revision int64, f func(Changes)) error
	// Revision returns the revision of now: an answer shows that the source is there. It waits a bounded time.
	Revision(ctx context.Context) (int64, error)
}

// Entry is what a source holds of one instance.
type Entry struct {
	Key      string // <type>/<id>
	Value    []byte // an [Instance] as JSON
	Revision int64  // of the last change
	Lease    int64  // of the process that wrote it; 0: none
	Gone     bool   // told by a watch: it was removed, and has no value
}

// Changes are what a watch tells at once.
type Changes struct {
	Entries  []Entry
	Revision int64 // of the source, with them
}
