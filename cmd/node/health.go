package node

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/discovery"
)

// Health is what /healthz answers. A node speaks of what it runs alone: a shard, services, a gateway.
type Health struct {
	Healthy    bool              `json:"healthy"`
	Conditions []shard.Condition `json:"conditions"` // what is the matter, the gravest first; empty when all is well
	Node       string            `json:"node"`
	Addresses  map[string]string `json:"addresses"` // where it listens, by transport
	*ShardHealth
	Services []ServiceHealth `json:"services,omitempty"`
	Gateway  *GatewayHealth  `json:"gateway,omitempty"`
}

// ShardHealth is the part of a node that hosts a shard, or would like to.
type ShardHealth struct {
	Shard    string `json:"shard"`
	Phase    string `json:"phase"`
	Epoch    uint64 `json:"epoch"`
	Tick     uint64 `json:"tick"`
	LastSeq  uint64 `json:"last_seq"`
	Debt     int    `json:"debt"` // ticks that are overdue
	Clients  int    `json:"clients"`
	Failures uint64 `json:"failures"` // of systems and commands; the log and /metrics have their names
}

// ServiceHealth is an instance of a service that runs in the node.
type ServiceHealth struct {
	Type     string          `json:"type"`
	Instance string          `json:"instance"`
	State    discovery.State `json:"state"` // up or draining
	Players  int             `json:"players"`
	InFlight int64           `json:"in_flight"` // handlers that run or are suspended
	Waiting  int             `json:"waiting"`   // requests that have not begun
	Scripts  uint64          `json:"scripts"`   // generation of the scripts in force; 0: those that it came with
}

// GatewayHealth is the gateway of the node.
type GatewayHealth struct {
	Instance string `json:"instance"`
	Sessions int    `json:"sessions"`
	Players  int    `json:"players"` // logged in
	InFlight int    `json:"in_flight"`
}

// healthz answers 200 while the node does what it is for: a shard's serves it, or waits for the node that does; a service's and
// a gateway's has begun. It answers 503 while something keeps it from that, and "conditions" says what, with the way out.
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
		h.Healthy = false // it has not begun
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
	s := i.service.Stats()
	return ServiceHealth{
		Type: i.config.Type, Instance: i.id, State: i.entry.Instance().State, Players: s.Players, InFlight: s.InFlight, Waiting: s.Waiting, Scripts: i.scripts.Generation(),
	}
}

// waitsForOwner reports whether another node owns the shard, and this one is there in case that ends.
func waitsForOwner(all []shard.Condition) bool {
	return slices.ContainsFunc(all, func(c shard.Condition) bool { return c.Kind == shard.AwaitsOwner })
}
