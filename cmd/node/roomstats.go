package node

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/shard"
)

// RoomStats describes the rooms of a node.
type RoomStats struct {
	Hosted   int     // rooms that the node hosts
	Waiting  int     // rooms that nobody owns and this node does not take
	Ailing   int     // of those that it hosts: rooms with a condition
	Used     float64 // milliseconds of work per second that its rooms took lately, with a guess for the newest
	Capacity float64 // that they may take

	// Of all rooms that the node has hosted.
	Ticks   uint64 // simulated
	Late    uint64 // of these, the ones that began a tick or more after they were due
	Skipped uint64 // ticks whose time was skipped, because more than a second of them was overdue
	Ended   uint64 // rooms that ended here
	Failed  uint64 // attempts to host a room that failed

	Kept   uint64 // rooms that the node has archived, or whose logs it has removed, after their end
	Unkept int    // rooms that it could not keep as they asked, so far
}

// add counts what a room's hosts have done.
func (s *RoomStats) add(h *shard.Stats) {
	s.Ticks, s.Late, s.Skipped = s.Ticks+h.Ticks, s.Late+h.Late, s.Skipped+h.Skipped
}

// RoomStats returns the statistics of the node's rooms, or zeros if it hosts none.
func (n *Node) RoomStats() RoomStats {
	n.mu.Lock()
	r := n.rooms
	n.mu.Unlock()
	if r == nil {
		return RoomStats{}
	}
	_, ailing := r.ailments(0)
	r.mu.Lock()
	s := r.past
	s.Hosted, s.Waiting, s.Ailing, s.Used, s.Capacity = len(r.hosted), len(r.waiting), ailing, r.load.Used(), n.config.Capacity
	all := slices.Collect(maps.Values(r.hosted)) // none of them is in past
	r.mu.Unlock()
	s.Kept, s.Unkept = r.keeping.counts()
	for _, h := range all { // without the lock: no room waits to be taken meanwhile
		did, _ := h.stats()
		s.add(&did.Host)
	}
	return s
}

// Hosting returns how many rooms the node hosts, and how many it is about to take over from a node that has died. It is cheap.
func (n *Node) Hosting() (hosted, returning int) {
	n.mu.Lock()
	r := n.rooms
	n.mu.Unlock()
	if r == nil {
		return 0, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	returning = len(r.begun)
	for id := range r.opening {
		if x := r.registry.Room(id); x != nil && x.Begun {
			returning++
		}
	}
	return len(r.hosted), returning
}

// roomMetric is one value of RoomStats for Prometheus.
type roomMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*RoomStats) float64
}

// roomCollector reads RoomStats on each scrape. A node's rooms come and go, so no metric is labelled with one.
type roomCollector struct {
	node    *Node
	metrics []roomMetric
}

func newRoomCollector(n *Node) *roomCollector {
	c := &roomCollector{node: n}
	add := func(kind prometheus.ValueType, name, help string, read func(*RoomStats) float64) {
		c.metrics = append(c.metrics, roomMetric{prometheus.NewDesc(name, help, nil, prometheus.Labels{"cluster": n.config.Cluster}), kind, read})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	add(gauge, "wind_rooms_hosted", "Rooms that this node hosts.", func(s *RoomStats) float64 { return float64(s.Hosted) })
	add(gauge, "wind_rooms_waiting", "Rooms that nobody owns and this node does not take: wind room show says why.", func(s *RoomStats) float64 { return float64(s.Waiting) })
	add(gauge, "wind_rooms_ailing", "Rooms of this node with a condition: /healthz names the gravest.", func(s *RoomStats) float64 { return float64(s.Ailing) })
	add(gauge, "wind_rooms_capacity", "Processors' worth of work that the rooms of this node may take: seconds per second.", func(s *RoomStats) float64 { return s.Capacity / 1000 })
	add(gauge, "wind_rooms_used", "Processors' worth of work that they take, with a guess for the newest.", func(s *RoomStats) float64 { return s.Used / 1000 })
	add(counter, "wind_rooms_ended_total", "Rooms that have ended on this node.", func(s *RoomStats) float64 { return float64(s.Ended) })
	add(counter, "wind_rooms_failed_total", "Attempts to host a room that failed.", func(s *RoomStats) float64 { return float64(s.Failed) })
	add(counter, "wind_rooms_kept_total", "Rooms that this node has archived, or whose logs it has removed, after their end.", func(s *RoomStats) float64 { return float64(s.Kept) })
	add(gauge, "wind_rooms_unkept", "Rooms that have ended and that this node could not archive, or remove, as they asked: its log says why.", func(s *RoomStats) float64 { return float64(s.Unkept) })
	add(counter, "wind_room_ticks_total", "Ticks of rooms simulated by this node.", func(s *RoomStats) float64 { return float64(s.Ticks) })
	add(counter, "wind_room_ticks_late_total", "Ticks of rooms simulated a tick or more after they were due.", func(s *RoomStats) float64 { return float64(s.Late) })
	add(counter, "wind_room_ticks_skipped_total", "Ticks of rooms whose time was skipped, because more than a second of them was overdue.", func(s *RoomStats) float64 { return float64(s.Skipped) })
	return c
}

// Describe implements prometheus.Collector.
func (c *roomCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *roomCollector) Collect(out chan<- prometheus.Metric) {
	s := c.node.RoomStats()
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(&s))
	}
}
