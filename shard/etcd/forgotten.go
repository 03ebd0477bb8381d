package etcd

import (
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/shard"
)

// A room's entries go a day after the room is gone, and its key then makes another room under the same id. A process that slept through
// all that takes part in neither: every write for a room compares that the room is still the one that the node has bid for.

// errForgotten says that nobody asks for a room.
var errForgotten = errors.New("nobody asks for it any more")

// Room returns the node's view of a shard that somebody has asked for. A room that is forgotten counts as one that has ended.
func (n *Node) Room(id string) (*Shard, error) {
	s, err := n.Shard(id)
	if err == nil {
		s.room = true
	}
	return s, err
}

// stands are the conditions under which a room is still the one whose lineage has a revision; 0: whichever it is.
func (s *Shard) stands(born int64) (all []clientv3.Cmp) {
	if s.room {
		all = append(all, clientv3.Compare(clientv3.CreateRevision(s.prefix+"spec"), ">", 0))
	}
	if s.room && born > 0 {
		all = append(all, clientv3.Compare(clientv3.ModRevision(s.prefix+"lineage"), "=", born))
	}
	return all
}

// forgotten is the error of a note for a room that is gone.
func (s *Shard) forgotten() error {
	return fmt.Errorf("%w: room %s is forgotten, or was made again since", shard.ErrFenced, s.name)
}
