package discovery

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// State says whether an instance accepts new players.
type State string

// The states. An instance that has left has no entry.
const (
	Up       State = "up"
	Draining State = "draining" // it serves its players and gets no new ones
)

// Instance is the description that an instance of a service registers, as JSON. shard/etcd stores it under
// /wind/<cluster>/services/<type>/<id>.
type Instance struct {
	Type      string            `json:"type"`           // [a-z0-9-]{1,40}
	ID        string            `json:"id"`             // [a-z0-9-]{1,60}, unique within the type
	Node      string            `json:"node,omitempty"` // the process that it runs in
	State     State             `json:"state"`
	Players   int               `json:"players"`             // players that it works for; for a gateway, those logged in there
	Bound     map[string]int    `json:"bound,omitempty"`     // for a gateway: "<type>/<id>" → its players that the instance works for
	Capacity  int               `json:"capacity"`            // maximum number of players, exact with one gateway; 0: no limit
	Load      float64           `json:"load"`                // 0 idle to 1 full, by a measure of its own; 0 without one
	Hung      string            `json:"hung,omitempty"`      // what keeps it from answering, and since when; "": nothing. It gets no new players
	Selector  string            `json:"selector,omitempty"`  // how players are placed on the instances of its type: see ParseSelector
	Methods   []Method          `json:"methods,omitempty"`   // messages that it handles for clients
	Formats   []string          `json:"formats,omitempty"`   // payloads that it accepts: FormatProtobuf, FormatJSON; empty: both
	Addresses map[string]string `json:"addresses,omitempty"` // transport → host:port, if clients connect to the instance
	Language  string            `json:"language,omitempty"`  // "go", "python"
	Since     time.Time         `json:"since"`
}

// Method is a message that a service handles for clients. It has the same fields as rpc.Method, so that the two types
// convert to each other.
type Method struct {
	Name   string `json:"name"`
	ID     uint32 `json:"id"`
	Answer uint32 `json:"answer,omitempty"`
	Login  bool   `json:"login,omitempty"`
	Public bool   `json:"public,omitempty"`
}

// The formats of payloads.
const (
	FormatProtobuf = "protobuf"
	FormatJSON     = "json"
)

// Takes reports whether the instance accepts payloads in a format.
func (i *Instance) Takes(format string) bool {
	return len(i.Formats) == 0 || slices.Contains(i.Formats, format)
}

// uncapped is the capacity assumed for an instance without one: only the order matters.
const uncapped = 1000

// Fullness returns the larger of the reported load and players divided by capacity, or by 1000 without a capacity. 0 is
// idle, 1 is full.
func (i *Instance) Fullness() float64 { return max(i.Load, float64(i.Players)/i.seats()) }

func (i *Instance) seats() float64 {
	if i.Capacity > 0 {
		return float64(i.Capacity)
	}
	return uncapped
}

// open reports whether the instance may get players, by its state and its own measure.
func (i *Instance) open() bool { return i.Answers() && i.Load < 1 }

// Answers reports whether the instance takes work that any instance may do: it neither drains nor hangs.
func (i *Instance) Answers() bool { return i.State == Up && i.Hung == "" }

// room returns how many more players may come by the instance's capacity. It is negative if there are too many.
func (i *Instance) room() int {
	if i.Capacity > 0 {
		return i.Capacity - i.Players
	}
	return math.MaxInt
}

// Full reports whether the instance has reached its capacity or a load of 1.
func (i *Instance) Full() bool { return i.Load >= 1 || i.room() <= 0 }

// Validate returns an error for an invalid instance.
func (i *Instance) Validate() error {
	if err := errors.Join(persistence.ValidShardName(i.Type), ecs.ValidName(i.ID, ecs.MaxLongName)); err != nil {
		return fmt.Errorf("discovery: instance %.80q of service %.60q: %w", i.ID, i.Type, err)
	}
	if i.State != Up && i.State != Draining {
		return fmt.Errorf("discovery: instance %s: state %.20q is neither %s nor %s", i.ID, i.State, Up, Draining)
	}
	if i.Players < 0 || i.Capacity < 0 || !(i.Load >= 0 && i.Load <= 1) {
		return fmt.Errorf("discovery: instance %s: %d players of %d, load %g: they must not be negative, and the load must be at most 1", i.ID, i.Players, i.Capacity, i.Load)
	}
	if _, err := ParseSelector(i.Selector); err != nil {
		return fmt.Errorf("discovery: instance %s: %w", i.ID, err)
	}
	return nil
}

// Complete sets defaults, with node as the default of Node, and clamps the numbers to their ranges.
func (i *Instance) Complete(node string) {
	if i.Node == "" {
		i.Node = node
	}
	if i.State == "" {
		i.State = Up
	}
	if i.Since.IsZero() {
		i.Since = time.Now().UTC()
	}
	i.Players, i.Capacity = max(0, i.Players), max(0, i.Capacity)
	if i.Load = min(1, max(0, i.Load)); math.IsNaN(i.Load) {
		i.Load = 0
	}
}
