package room

import (
	"fmt"
	"time"
)

// Keep says what is kept of a room once it has ended.
type Keep string

// What is kept besides the entry in the coordination service, which goes a day after the log.
const (
	KeepLog     Keep = "log"     // its log, where it is; also ""
	KeepArchive Keep = "archive" // an archive, which is proven before the log is removed
	KeepNone    Keep = "none"    // nothing
)

// Valid returns an error for a word that is not one of the above.
func (k Keep) Valid() error {
	switch k {
	case "", KeepLog, KeepArchive, KeepNone:
		return nil
	}
	return fmt.Errorf("%q is not what can be kept of a room: want log, archive or none", string(k))
}

// log reports whether the log is kept, where it is.
func (k Keep) log() bool { return k == "" || k == KeepLog }

// Archive describes an archive that was read back and proven.
type Archive struct {
	Place   string    `json:"place"` // a path on its node, or a URL: what wind replay --file takes
	Name    string    `json:"name"`  // among the archives of that folder or object store
	Node    string    `json:"node"`  // that wrote it
	Lineage string    `json:"lineage"`
	Tick    uint64    `json:"tick"` // the last one
	Last    uint64    `json:"last"` // its last record, the seal
	Hash    string    `json:"hash"` // of that record
	Bytes   int64     `json:"bytes"`
	At      time.Time `json:"at"`
}

// Same reports whether two archives hold the same log, to the same end.
func (a *Archive) Same(o *Archive) bool {
	return a.Lineage == o.Lineage && a.Tick == o.Tick && a.Last == o.Last && a.Hash == o.Hash
}

// String says which log it holds.
func (a *Archive) String() string {
	return fmt.Sprintf("lineage %s up to tick %d, record %d with hash %s", a.Lineage, a.Tick, a.Last, a.Hash)
}

// settled reports whether nothing is left to do for a room whose spec asks for keep.
func (e *End) settled(keep Keep) bool { return e.Phase == Gone && (e.Swept || keep != KeepArchive) }

// archiveName returns the name of the archive that is noted, or "".
func (e *End) archiveName() string {
	if e.Archive == nil {
		return ""
	}
	return e.Archive.Name
}

// Keep returns what is kept of the room: what its spec asks for, or nothing once somebody wants its log removed.
func (r *Room) Keep() Keep {
	if r.End != nil && r.End.Remove {
		return KeepNone
	}
	return r.Spec.Keep
}

// Removable returns an error, with the way out, unless the log of a room may be removed at somebody's wish. unarchived says whether
// it may go without the archive that the spec asks for.
func (r *Room) Removable(unarchived bool) error {
	switch {
	case r.Spec == nil:
		return fmt.Errorf("%s is a standing shard, whose log stays", r.ID)
	case r.End == nil && r.Owner != "":
		return fmt.Errorf("room %s runs on node %s: close it first (wind room close %[1]s)", r.ID, r.Owner)
	case r.End == nil:
		return fmt.Errorf("room %s has not ended, though no node runs it now: close it first (wind room close %[1]s)", r.ID)
	case r.Keep() == KeepArchive && r.End.Phase == Sealed && !unarchived:
		return fmt.Errorf("room %s asked for an archive, and none is proven yet: a node with --archive makes it and removes the log (wind room remove --unarchived removes it without)", r.ID)
	}
	return nil
}

// When a node offers to keep a room that has ended: the one that sealed it at once, others later, the fuller the later.
// Whoever has claimed it and dies loses the claim with its lease.
const keepDelay = 3 * time.Second

// Keeps returns how long a node waits before it keeps a room that has ended. why is not empty if it does not keep it, and
// says why not. archives says whether the node has a place for archives. A claim of its own, which it could not give back, does not
// keep it from trying again: it would last as long as the node.
func (b *Bidder) Keeps(r *Room, archives bool) (after time.Duration, why string) {
	switch {
	case r.Spec == nil || r.End == nil:
		return 0, "it has not ended"
	case r.End.settled(r.Spec.Keep):
		return 0, "it is gone"
	case r.Keep().log():
		return 0, "its log is kept"
	case r.Keeper != "" && r.Keeper != b.Node:
		return 0, fmt.Sprintf("node %s keeps it", r.Keeper)
	case (r.Keep() == KeepArchive || r.End.Phase == Gone) && !archives:
		return 0, fmt.Sprintf("node %s has no place for archives (--archive)", b.Node)
	case b.Capacity <= 0:
		return 0, fmt.Sprintf("node %s hosts no rooms", b.Node)
	case r.End.Node == b.Node && r.Keeper == "":
		return 0, ""
	}
	return keepDelay + time.Duration(min(1, b.Used/b.Capacity)*float64(loadDelay)) + time.Duration(lot(r.ID, b.Node)*float64(tieDelay)), ""
}

// Expires returns when the entries of a room that is gone are removed, so long after; false: they stand.
func (r *Room) Expires(after time.Duration) (at time.Time, ok bool) {
	if r.End == nil || r.End.Phase != Gone || r.End.Gone.IsZero() {
		return time.Time{}, false
	}
	return r.End.Gone.Add(after), true
}
