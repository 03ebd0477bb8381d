package node

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/systems/script"
)

// Health is the answer of /healthz. A node reports only what it runs: a shard, services, a gateway.
type Health struct {
	Healthy    bool              `json:"healthy"`
	Conditions []shard.Condition `json:"conditions"` // problems, gravest first; empty if all is well
	Node       string            `json:"node"`
	Addresses  map[string]string `json:"addresses"` // addresses that it listens on, by transport
	*ShardHealth
	Rooms    *RoomHealth     `json:"rooms,omitempty"`
	Services []ServiceHealth `json:"services,omitempty"`
	Gateway  *GatewayHealth  `json:"gateway,omitempty"`
}

// ShardHealth describes the shard of a node that hosts it, or waits to.
type ShardHealth struct {
	Shard    string `json:"shard"`
	Phase    string `json:"phase"`
	Epoch    uint64 `json:"epoch"`
	Tick     uint64 `json:"tick"`
	LastSeq  uint64 `json:"last_seq"`
	Debt     int    `json:"debt"` // overdue ticks
	Clients  int    `json:"clients"`
	Failures uint64 `json:"failures"` // of systems and commands; the log and /metrics name them
}

// RoomHealth describes the rooms of a node that hosts rooms. No room makes the node unhealthy: each is for itself.
type RoomHealth struct {
	Hosted   int           `json:"hosted"`
	Waiting  int           `json:"waiting"`  // rooms that nobody owns and this node does not take
	Capacity float64       `json:"capacity"` // milliseconds of work per second that its rooms may take
	Used     float64       `json:"used"`     // that they take
	Ailing   int           `json:"ailing"`   // rooms with a condition
	Gravest  []roomAilment `json:"gravest,omitempty"`
}

// mostAiling bounds the rooms that /healthz names.
const mostAiling = 10

// roomHealth returns nil if the node hosts no rooms, or does not answer for them yet.
func (n *Node) roomHealth() *RoomHealth {
	n.mu.Lock()
	r := n.rooms
	n.mu.Unlock()
	if r == nil || !r.answers.Load() {
		return nil
	}
	s := n.RoomStats()
	h := &RoomHealth{Hosted: s.Hosted, Waiting: s.Waiting, Capacity: s.Capacity, Used: s.Used}
	h.Gravest, h.Ailing = r.ailments(mostAiling)
	if spell := n.config.Spell; spell != nil {
		for i := range h.Gravest {
			h.Gravest[i].Text = spell(h.Gravest[i].Text)
		}
	}
	return h
}

// ServiceHealth describes an instance of a service that runs in the node.
type ServiceHealth struct {
	Type     string          `json:"type"`
	Instance string          `json:"instance"`
	State    discovery.State `json:"state"`     // up or draining
	Players  int             `json:"players"`   // as in the directory, and so in ps
	InFlight int64           `json:"in_flight"` // handlers running or suspended
	Waiting  int             `json:"waiting"`   // requests not yet begun
	Modules  int             `json:"modules"`   // of scripts in force
	Scripts  string          `json:"scripts"`   // their hash, shortened: instances with the same one run the same scripts; "": none
}

// GatewayHealth describes the gateway of the node.
type GatewayHealth struct {
	Instance string `json:"instance"`
	Sessions int    `json:"sessions"`
	Players  int    `json:"players"` // logged in
	InFlight int    `json:"in_flight"`
}

// healthz answers 200 while the node does its work: the node of a shard serves it, or waits for the node that does; the
// node of a service or a gateway has begun, and NATS brings it requests. Otherwise it answers 503, and "conditions" names the reasons and the
// remedies.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) {
	h := n.health()
	w.Header().Set("Content-Type", "application/json")
	if !h.Healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h)
}

func (n *Node) health() Health {
	s := n.Stats()
	h := Health{
		Healthy: shard.Healthy(s.Conditions), Conditions: append([]shard.Condition{}, s.Conditions...), Node: n.config.ID, Addresses: n.addresses(),
	}
	if !n.config.NoShard {
		h.ShardHealth = shardHealth(n.config.Shard, &s)
		h.Healthy = h.Healthy && (s.Host.Phase == shard.PhaseOwn.String() || waitsForOwner(s.Conditions))
	}
	h.Rooms = n.roomHealth()
	if n.config.Capacity > 0 && h.Rooms == nil {
		h.Healthy = false // nobody can ask it for rooms yet
	}
	n.mu.Lock()
	instances, gate, id := n.instances, n.gateway, n.gatewayID
	n.mu.Unlock()
	for _, i := range instances {
		h.Services = append(h.Services, i.health())
	}
	if gate != nil {
		g := gate.Stats()
		h.Gateway = &GatewayHealth{Instance: id, Sessions: g.Sessions, Players: g.Players, InFlight: g.InFlight}
	}
	if len(instances) < len(n.config.Services) || n.config.Gateway != nil && gate == nil {
		h.Healthy = false // not all of it has begun
	}
	select {
	case <-n.done:
		h.Healthy = false
	default:
	}
	return h
}

func shardHealth(name string, s *Stats) *ShardHealth {
	h := &ShardHealth{
		Shard: name, Phase: s.Host.Phase, Epoch: uint64(s.Host.Epoch), Tick: s.Host.Tick, LastSeq: uint64(s.Host.LastSeq), Debt: s.Host.Debt,
		Clients: s.Clients.Clients,
	}
	for _, count := range s.Host.Failures {
		h.Failures += count
	}
	return h
}

func (i *instance) health() ServiceHealth {
	s, entry, modules := i.service.Stats(), i.entry.Instance(), i.service.Modules()
	h := ServiceHealth{Type: i.config.Type, Instance: i.id, State: entry.State, Players: entry.Players, InFlight: s.InFlight, Waiting: s.Waiting, Modules: len(modules)}
	if len(modules) > 0 {
		h.Scripts = script.SHA256(modules)[:12]
	}
	return h
}

// waitsForOwner reports whether another node owns the shard and this one stands by.
func waitsForOwner(all []shard.Condition) bool {
	return slices.ContainsFunc(all, func(c shard.Condition) bool { return c.Kind == shard.AwaitsOwner })
}
