package node

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/shard"
)

// Stats describes a node's shard and its clients.
type Stats struct {
	Host    shard.Stats // of the current host; its counters include earlier hosts
	Clients session.Stats
	Door    netcode.Stats
	Events  map[string]uint64 // events of the game released so far, by name

	Conditions []shard.Condition // problems of the shard or the node, gravest first
}

// Stats returns the node's statistics. It may be called at any time; before a host runs, Host has nothing but the tick rate.
func (n *Node) Stats() Stats {
	var s Stats
	began := false
	if n.standing != nil {
		s, began = n.standing.stats()
	}
	if n.door != nil {
		s.Door = n.door.Stats()
	}
	s.Conditions = together(n.conditions.List(), s.Conditions)
	if !n.probes.Load() {
		s.Conditions = append(s.Conditions, n.waits(s.Conditions, !began)...)
	}
	shard.SortConditions(s.Conditions)
	if spell := n.config.Spell; spell != nil {
		for i := range s.Conditions {
			s.Conditions[i].Text = spell(s.Conditions[i].Text)
		}
	}
	return s
}

// together merges the conditions of the node and its host: one per kind, the host's if both have it.
func together(node, host []shard.Condition) []shard.Condition {
	for _, c := range node {
		if !slices.ContainsFunc(host, func(h shard.Condition) bool { return h.Kind == c.Kind }) {
			host = append(host, c)
		}
	}
	shard.SortConditions(host)
	return host
}

// metric is one value of Stats for Prometheus.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*Stats) float64
}

// collector reads Stats on each scrape, so that metrics cost a tick nothing.
type collector struct {
	node     *Node
	metrics  []metric
	events   *prometheus.Desc
	failures *prometheus.Desc
	matters  *prometheus.Desc
}

// newCollector returns the metrics of a node's front door, of its conditions and, if it has one, of its standing shard.
func newCollector(n *Node) *collector {
	c := &collector{node: n}
	labels := prometheus.Labels{"cluster": n.config.Cluster}
	if !n.config.NoShard {
		labels["shard"] = n.config.Shard
	}
	add := func(kind prometheus.ValueType, name, help string, read func(*Stats) float64) {
		c.metrics = append(c.metrics, metric{prometheus.NewDesc(name, help, nil, labels), kind, read})
	}
	c.events = prometheus.NewDesc("wind_events_total", "Events of the game, by name.", []string{"event"}, labels)
	c.failures = prometheus.NewDesc("wind_failures_total", "Failures of the shard's systems and commands in committed ticks, by name, without rejections.", []string{"name"}, labels)
	c.matters = prometheus.NewDesc("wind_condition", "1 while a condition of /healthz holds, by kind.", []string{"kind"}, labels)
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	add(counter, "wind_client_bytes_in_total", "Bytes from clients.", func(s *Stats) float64 { return float64(s.Door.BytesIn) })
	add(counter, "wind_client_bytes_out_total", "Bytes to clients.", func(s *Stats) float64 { return float64(s.Door.BytesOut) })
	add(counter, "wind_sessions_refused_total", "Refused connections.", func(s *Stats) float64 { return float64(s.Door.Refused) })
	if n.config.NoShard {
		return c
	}
	add(gauge, "wind_tick", "Tick of the world.", func(s *Stats) float64 { return float64(s.Host.Tick) })
	add(counter, "wind_ticks_total", "Ticks simulated by this node.", func(s *Stats) float64 { return float64(s.Host.Ticks) })
	add(counter, "wind_ticks_committed_total", "Ticks that the log acknowledged.", func(s *Stats) float64 { return float64(s.Host.Committed) })
	add(gauge, "wind_tick_debt", "Overdue ticks.", func(s *Stats) float64 { return float64(s.Host.Debt) })
	add(counter, "wind_ticks_skipped_total", "Ticks whose time was skipped, because more than a second of them was overdue.", func(s *Stats) float64 { return float64(s.Host.Skipped) })
	add(gauge, "wind_tick_p99_seconds", "99th percentile of a tick's work, commit excluded.", func(s *Stats) float64 { return s.Host.TickMS.P99 / 1000 })
	add(gauge, "wind_commit_p99_seconds", "99th percentile of a commit.", func(s *Stats) float64 { return s.Host.CommitMS.P99 / 1000 })
	add(gauge, "wind_epoch", "Generation of the shard's ownership.", func(s *Stats) float64 { return float64(s.Host.Epoch) })
	add(gauge, "wind_log_last_sequence", "Last sequence of the log.", func(s *Stats) float64 { return float64(s.Host.LastSeq) })
	add(gauge, "wind_entities", "Entities of the world.", func(s *Stats) float64 { return float64(s.Host.Entities) })
	add(gauge, "wind_deltas_waiting", "Committed deltas not yet published.", func(s *Stats) float64 { return float64(s.Host.DeltasWaiting) })
	add(counter, "wind_deltas_lost_total", "Ticks whose delta became a gap message.", func(s *Stats) float64 { return float64(s.Host.DeltasLost) })
	add(counter, "wind_snapshots_total", "Snapshots stored and verified.", func(s *Stats) float64 { return float64(s.Host.Snapshots) })
	add(gauge, "wind_clients", "Connections with a session.", func(s *Stats) float64 { return float64(s.Clients.Clients) })
	add(gauge, "wind_sessions", "Sessions of the world, including parked ones.", func(s *Stats) float64 { return float64(s.Clients.Sessions) })
	add(counter, "wind_inputs_total", "Input samples that arrived.", func(s *Stats) float64 { return float64(s.Clients.Inputs) })
	add(counter, "wind_inputs_late_total", "Input samples that arrived after the latch of their tick.", func(s *Stats) float64 { return float64(s.Clients.InputsLate) })
	add(counter, "wind_inputs_refused_total", "Input samples that the game refused.", func(s *Stats) float64 { return float64(s.Clients.InputsInvalid) })
	add(counter, "wind_clients_ahead_total", "Clients with a valid token that claimed a tick missing from the log.", func(s *Stats) float64 { return float64(s.Clients.AheadOfLog) })
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
	out <- c.events
	out <- c.failures
	out <- c.matters
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.node.Stats()
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(&s))
	}
	for name, n := range s.Events {
		out <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(n), name)
	}
	for name, n := range s.Host.Failures {
		out <- prometheus.MustNewConstMetric(c.failures, prometheus.CounterValue, float64(n), name)
	}
	held := map[shard.ConditionKind]float64{}
	for _, c := range s.Conditions {
		held[c.Kind] = 1
	}
	for _, kind := range shard.ConditionKinds {
		out <- prometheus.MustNewConstMetric(c.matters, prometheus.GaugeValue, held[kind], string(kind))
	}
}
