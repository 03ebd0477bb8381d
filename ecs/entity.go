package ecs

import (
	"fmt"
	"unsafe"

	arche "github.com/mlange-42/arche/ecs"
)

// Entity names one entity of a world: a slot number and its generation. The zero value names no entity. An Entity
// stored in a component survives snapshot, transfer and replication. Once its entity has died it stays dead for 2^32
// reuses of the slot.
type Entity struct{ id, gen uint32 }

// EntityFrom returns the Entity with this slot and generation, for decoding outside data. It need not exist in any
// world.
func EntityFrom(id, gen uint32) Entity { return Entity{id, gen} }

// ID returns the slot number, from 1; slots are reused after a death.
func (e Entity) ID() uint32 { return e.id }

// Generation returns how often the slot has been reused, from 0.
func (e Entity) Generation() uint32 { return e.gen }

// IsZero reports whether e names no entity.
func (e Entity) IsZero() bool { return e.id == 0 }

// String returns "id" for a slot's first use, else "id.generation".
func (e Entity) String() string {
	if e.gen == 0 {
		return fmt.Sprintf("%d", e.id)
	}
	return fmt.Sprintf("%d.%d", e.id, e.gen)
}

func (e Entity) key() uint64 { return uint64(e.gen)<<32 | uint64(e.id) }

// An Entity has the layout of arche's, so that a cast converts one to the other.
var _ [unsafe.Sizeof(arche.Entity{})]byte = [unsafe.Sizeof(Entity{})]byte{}

func toArche(e Entity) arche.Entity   { return *(*arche.Entity)(unsafe.Pointer(&e)) }
func fromArche(e arche.Entity) Entity { return *(*Entity)(unsafe.Pointer(&e)) }
