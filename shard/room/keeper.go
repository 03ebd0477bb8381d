package room

import (
	"errors"
	"fmt"
)

// ErrRemoved means that the removal of a log has begun, so that any part of it may be left, or that there never was one.
var ErrRemoved = errors.New("room: there is no log, or its removal has begun")

// Keeper takes one room that has ended from sealed to gone, on one node: it has the log archived if the spec asks for
// that, proves the archive, notes it, has the log removed, and notes that. It is a step function: Step takes what the last
// action led to and returns the next one; there is always one outstanding. A node's shell (cmd/node) performs the actions,
// package room's simulation performs them in every order, with crashes in between.
//
// Each note is a compare-and-set, each step may be repeated, and each attempt writes an archive under a name of its own.
// So it does no harm if two keepers work for one room, or if one that was thought dead goes on. These rules hold:
//
//   - The log is removed only while an archive is noted that this keeper, or an earlier one, has read back and proven; one
//     that an earlier keeper noted is proven again first. Without an archive it is removed only if the spec keeps nothing,
//     or if somebody wants it removed (End.Remove).
//   - An archive is discarded only by its own writer, once it can never be noted: it was not offered, or the room's entry
//     names another one. A keeper sweeps up other attempts' archives only when the room is gone, since the entry then
//     names no other one any more, and notes that it has. If it dies before that note, another keeper sweeps.
type Keeper struct {
	cluster string
	room    string
	attempt string
	lineage string // of the room's log; "": it never had one
	name    string // of the archive that this keeper writes
	keep    Keep
	asked   Keep  // by the spec
	end     End   // the room's entry as this keeper has last seen it
	rev     int64 // of that entry
	wrote   *Archive
	offered *End // the note that is under way
	why     error
}

// NewKeeper returns a keeper of a room. attempt is a part of a name that no other keeper of the room has, ever.
func NewKeeper(cluster, room, attempt string) *Keeper {
	return &Keeper{cluster: cluster, room: room, attempt: attempt}
}

// archivePrefix begins the names of a room's archives. A room that is made again under the id of one that is gone has
// another lineage, and other names.
func archivePrefix(cluster, room, lineage string) string {
	return fmt.Sprintf("%s/%s.%.8s.", cluster, room, lineage)
}

// EventKind says what a keeper's action has led to.
type EventKind uint8

// The events. Each but Began answers the action of the same name.
const (
	EventBegan     EventKind = iota // the first one
	EventClaimed                    // OK: the room is this keeper's, with Entry, Revision, Lineage and Keep
	EventWrote                      // Archive, or Err: ErrRemoved if the log is gone, or no longer whole
	EventProved                     // Archive as it was read, or Err
	EventNoted                      // OK: the entry is now what was offered, with Revision. Not OK: Entry stands. Err: nobody knows
	EventLooked                     // Entry stands, or Err
	EventRemoved                    // or Err
	EventDiscarded                  // or Err
	EventSwept                      // OK; not OK: this node has no place for archives, another one may. Or Err
)

// Event is the answer to a keeper's action.
type Event struct {
	Kind     EventKind
	OK       bool
	Entry    *End // nil: there is none
	Revision int64
	Lineage  string
	Keep     Keep
	Archive  *Archive
	Err      error
}

// ActionKind says what a shell does for a keeper.
type ActionKind uint8

// The actions.
const (
	ActionClaim   ActionKind = iota // claim the room for the keeper's node, as long as it lives, unless another node has it
	ActionWrite                     // archive the log of Lineage under Name
	ActionProve                     // read the archive Name back
	ActionNote                      // replace the entry of Revision by Entry
	ActionLook                      // read the entry
	ActionRemove                    // remove the log of Lineage, but for its seal, with deltas and snapshots
	ActionDiscard                   // remove the archive Name
	ActionSweep                     // remove the archives whose names begin with Prefix, but for Name, which may be empty
	ActionEnd                       // give the claim back and end; Err: why the room is not gone, nil if it is, or if another node sees to it
)

// Answer returns the event that answers an action.
func (a ActionKind) Answer() EventKind { return EventKind(a) + EventClaimed }

// Action is what a shell does next for a keeper.
type Action struct {
	Kind     ActionKind
	Name     string
	Prefix   string
	Lineage  string
	Entry    *End
	Revision int64
	Err      error
}

// Step takes an event and returns the next action.
func (k *Keeper) Step(ev Event) Action {
	switch ev.Kind {
	case EventBegan:
		return Action{Kind: ActionClaim}
	case EventClaimed:
		if ev.Err != nil || !ev.OK || ev.Entry == nil {
			return Action{Kind: ActionEnd, Err: ev.Err}
		}
		k.lineage, k.keep, k.asked = ev.Lineage, ev.Keep, ev.Keep
		if ev.Entry.Remove {
			k.keep = KeepNone
		}
		k.name = archivePrefix(k.cluster, k.room, k.lineage) + k.attempt + ".wind"
		k.end, k.rev = *ev.Entry, ev.Revision
		return k.goOn()
	case EventWrote:
		return k.written(ev)
	case EventProved:
		return k.proved(ev)
	case EventNoted:
		return k.noted(ev)
	case EventLooked:
		if ev.Err != nil {
			return k.done(ev.Err) // the archive stays: the note may still come to stand
		}
		return k.stands(ev.Entry, ev.Revision)
	case EventRemoved:
		if ev.Err != nil {
			return k.done(ev.Err)
		}
		gone := k.end
		gone.Phase = Gone
		return k.note(gone)
	case EventDiscarded:
		return k.done(k.why)
	case EventSwept:
		if ev.Err != nil || !ev.OK {
			return k.done(ev.Err)
		}
		swept := k.end
		swept.Swept = true
		return k.note(swept)
	}
	panic(fmt.Sprintf("room: a keeper has no event %d", ev.Kind))
}

// goOn returns the action that the room's phase asks for.
func (k *Keeper) goOn() Action {
	switch {
	case k.end.settled(k.asked):
		return k.done(nil)
	case k.end.Phase == Gone:
		return Action{Kind: ActionSweep, Prefix: archivePrefix(k.cluster, k.room, k.lineage), Name: k.end.archiveName()}
	case k.keep == KeepNone, k.lineage == "" && k.keep == KeepArchive: // nobody ever ran it
		return k.remove()
	case k.end.Phase == Archived && k.end.Archive != nil:
		return Action{Kind: ActionProve, Name: k.end.Archive.Name}
	case k.keep == KeepArchive:
		return k.write()
	}
	return k.done(nil)
}

func (k *Keeper) write() Action {
	return Action{Kind: ActionWrite, Name: k.name, Lineage: k.lineage}
}

func (k *Keeper) remove() Action { return Action{Kind: ActionRemove, Lineage: k.lineage} }

func (k *Keeper) done(err error) Action { return Action{Kind: ActionEnd, Err: err} }

// discard gives up the archive that this keeper has written.
func (k *Keeper) discard(why error) Action {
	k.why = why
	return Action{Kind: ActionDiscard, Name: k.name}
}

func (k *Keeper) written(ev Event) Action {
	switch {
	case errors.Is(ev.Err, ErrRemoved) && k.end.Phase == Archived:
		return k.remove() // whoever removed it had proven the archive that is noted, which this node cannot read
	case errors.Is(ev.Err, ErrRemoved) && k.end.Tick == 0:
		return k.remove() // it was canceled before its first record
	case ev.Err != nil:
		return k.discard(ev.Err)
	}
	k.wrote = ev.Archive
	return Action{Kind: ActionProve, Name: k.name}
}

func (k *Keeper) proved(ev Event) Action {
	if k.wrote == nil { // an earlier keeper's
		if ev.Err != nil || !k.ofRoom(ev.Archive) || !ev.Archive.Same(k.end.Archive) {
			return k.write() // perhaps it is on the disk of a node that is gone
		}
		return k.remove()
	}
	switch {
	case ev.Err != nil:
		return k.discard(ev.Err)
	case !ev.Archive.Same(k.wrote):
		return k.discard(fmt.Errorf("room: archive %s: %s was written, %s was read", k.name, k.wrote, ev.Archive))
	case !k.ofRoom(ev.Archive):
		return k.discard(fmt.Errorf("room: archive %s has %s, but the room's lineage is %s and it ended after tick %d", k.name, ev.Archive, k.lineage, k.end.Tick))
	}
	next := k.end
	next.Phase, next.Archive = Archived, ev.Archive
	return k.note(next)
}

// ofRoom reports whether an archive is that of the whole room.
func (k *Keeper) ofRoom(a *Archive) bool { return a.Lineage == k.lineage && a.Tick == k.end.Tick }

func (k *Keeper) note(next End) Action {
	k.offered = &next
	return Action{Kind: ActionNote, Entry: &next, Revision: k.rev}
}

func (k *Keeper) noted(ev Event) Action {
	switch {
	case ev.Err != nil:
		return Action{Kind: ActionLook}
	case !ev.OK:
		return k.stands(ev.Entry, ev.Revision)
	}
	k.end, k.rev, k.offered = *k.offered, ev.Revision, nil
	return k.after()
}

// after returns the action after a note of this keeper's.
func (k *Keeper) after() Action {
	if k.end.Phase == Archived {
		return k.remove()
	}
	return k.goOn()
}

// stands goes on from the entry that was found when a note of this keeper's was refused, or had no answer.
func (k *Keeper) stands(entry *End, revision int64) Action {
	switch {
	case entry != nil && revision == k.rev:
		return Action{Kind: ActionNote, Entry: k.offered, Revision: k.rev} // it has not arrived, but it still may
	case entry != nil && k.wrote != nil && entry.archiveName() == k.name:
		k.end, k.rev, k.offered = *entry, revision, nil
		return k.after()
	case entry != nil && entry.Phase == Gone && k.offered.Phase == Gone && entry.archiveName() == k.end.archiveName():
		k.end, k.rev, k.offered = *entry, revision, nil
		return k.goOn()
	case entry != nil && k.wrote != nil && entry.Archive != nil && entry.Archive.Lineage == k.lineage:
		return k.discard(nil) // another keeper's stands, and this one's never will
	}
	return k.done(nil) // without the entry of this room nobody knows which archive it had
}
