package room

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ferris1/wind/shard/discovery"
)

// Phase is where a room is in its life.
type Phase string

// The phases. Who may move a room from one to the next is in the doc comments; each move is a compare-and-set.
const (
	Wanted  Phase = "wanted"  // asked for; nobody owns it
	Running Phase = "running" // a node owns it
	Sealed  Phase = "sealed"  // its log has a seal: noted by the owner that wrote it, or by a node that wanted to claim the room

	// Noted by a Keeper, if the log is not kept.
	Archived Phase = "archived" // an archive is proven; the log may be there still
	Gone     Phase = "gone"     // the log was removed, but for its seal; the entries follow a day later
)

// phases are all of them.
var phases = []Phase{Wanted, Running, Sealed, Archived, Gone}

// ValidPhase returns an error unless text is a phase.
func ValidPhase(text string) error {
	if slices.Contains(phases, Phase(text)) {
		return nil
	}
	return fmt.Errorf("%.40q is not a room's state: want wanted, running, sealed, archived or gone", text)
}

// End is what the log says about a room's end; the entry "state" repeats it.
type End struct {
	Phase  Phase           `json:"phase"` // Sealed, Archived or Gone
	Tick   uint64          `json:"tick"`  // the last one
	Reason string          `json:"reason"`
	By     string          `json:"by,omitempty"`     // who closed it
	Name   string          `json:"name,omitempty"`   // of the result's type
	Result json.RawMessage `json:"result,omitempty"` // of its game
	At     time.Time       `json:"at"`
	Node   string          `json:"node,omitempty"` // that sealed the log

	Archive *Archive  `json:"archive,omitempty"`
	Remove  bool      `json:"remove,omitempty"` // somebody wants the log removed, whatever the spec keeps
	Gone    time.Time `json:"gone,omitzero"`    // when the log was removed
	Swept   bool      `json:"swept,omitempty"`  // of archives, the one above alone is left: a keeper that died may have left others
}

// Room is what the coordination service knows about one shard.
type Room struct {
	ID        string
	Spec      *Spec             // nil: nobody asked for it; it is a standing shard
	Owner     string            // node; "": nobody
	Since     time.Time         // of the ownership
	Addresses map[string]string // of the owner's front door, by transport
	End       *End              // nil: it goes on
	Keeper    string            // node that archives it or removes its log; "": nobody
	Halted    bool
	Begun     bool  // some node has owned it
	Revision  int64 // of the last change that was seen
}

// Phase returns where the room is in its life.
func (r *Room) Phase() Phase {
	switch {
	case r.End != nil:
		return r.End.Phase
	case r.Owner != "":
		return Running
	}
	return Wanted
}

// View holds the rooms of a cluster as the coordination service's entries describe them. Not safe for concurrent use.
type View struct {
	rooms map[string]*Room
	begun map[string]bool // shards that some node has owned, rooms or not: a listing has that before the room's spec
}

// NewView returns an empty view.
func NewView() *View { return &View{rooms: map[string]*Room{}, begun: map[string]bool{}} }

// Apply applies one entry, with the key <room>/<part>, and returns the room's id if that changed the view. It ignores
// parts that it does not know, and what cannot be read counts as absent.
func (v *View) Apply(e discovery.Entry) (changed string) {
	id, part, ok := strings.Cut(e.Key, "/")
	if !ok {
		return ""
	}
	r := v.rooms[id]
	if part == "epoch" { // written with the first owner
		if v.begun[id] = !e.Gone; e.Gone {
			delete(v.begun, id)
		}
		if r == nil {
			return ""
		}
	}
	if r == nil {
		r = &Room{ID: id}
	}
	next := *r
	next.Revision, next.Begun = max(r.Revision, e.Revision), v.begun[id]
	switch part {
	case "spec":
		next.Spec = read[Spec](e)
	case "state":
		next.End = read[End](e)
	case "halted":
		next.Halted = !e.Gone
	case "epoch":
	case "keeper":
		next.Keeper = ""
		if k := read[struct{ Node string }](e); k != nil {
			next.Keeper = k.Node
		}
	case "owner":
		next.Owner, next.Since, next.Addresses = "", time.Time{}, nil
		if o := read[struct {
			Node      string
			Since     time.Time
			Addresses map[string]string
		}](e); o != nil {
			next.Owner, next.Since, next.Addresses = o.Node, o.Since, o.Addresses
		}
	default:
		return ""
	}
	if next.Spec == nil && next.Owner == "" && next.End == nil && !next.Halted {
		delete(v.rooms, id)
	} else {
		v.rooms[id] = &next
	}
	return id
}

// since gives rooms that have changed since an earlier view a revision that nobody has seen: of an entry that is gone, no
// revision is left. What the earlier view had seen to go keeps its revision, in which somebody may still ask for it. A room without an owner that is new to this view may have lost one a moment ago.
func (v *View) since(earlier *View, revision int64) {
	for id, x := range v.rooms {
		e := earlier.rooms[id]
		if e == nil && x.Phase() == Wanted {
			x.Revision = revision
		}
		if e != nil {
			x.Revision = max(x.Revision, min(e.Revision, revision))
		}
		if e == nil || x.Revision > e.Revision || x.Owner == e.Owner && x.Since.Equal(e.Since) && x.Halted == e.Halted && x.Keeper == e.Keeper && (x.End == nil) == (e.End == nil) && (x.Spec == nil) == (e.Spec == nil) {
			continue
		}
		x.Revision = revision
	}
}

func read[T any](e discovery.Entry) *T {
	x := new(T)
	if e.Gone || json.Unmarshal(e.Value, x) != nil {
		return nil
	}
	return x
}

// Room returns a room, or nil. The caller must not change it.
func (v *View) Room(id string) *Room { return v.rooms[id] }
