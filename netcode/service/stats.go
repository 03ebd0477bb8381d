package service

import (
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/netcode/rpc"
)

// Stats describes what a service is doing and has done.
type Stats struct {
	InFlight int64  `json:"in_flight"` // handlers running or suspended
	Waiting  int    `json:"waiting"`   // requests that have not begun
	Handled  uint64 `json:"handled"`   // requests answered, including failed ones
	Failed   uint64 `json:"failed"`    // those answered with an error
	Players  int    `json:"players"`   // who sent a request within the last minute or two and have not disconnected
	// Stalled is how long a handler has held the thread, in seconds, during which no other request is served; 0 unless
	// stalled.
	Stalled float64 `json:"stalled_seconds,omitempty"`
}

// Stats may be called at any time.
func (s *Service) Stats() Stats {
	stalled := 0.0
	if x := s.Stalled(); x != nil {
		stalled = time.Since(x.Since).Seconds()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Stalled: stalled, InFlight: s.inFlight.Load(), Waiting: int(s.waiting.Load()), Handled: s.handled.Load(), Failed: s.failed.Load(), Players: s.seen.count(time.Now())}
}

// forget removes a player from the count.
func (s *Service) forget(player string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.forget(player)
}

// seen counts the players of the last minute or two: those of the current minute and of the one before.
type seen struct {
	now, before map[string]struct{}
	since       time.Time
}

func newSeen() seen { return seen{now: map[string]struct{}{}, since: time.Now()} }

func (x *seen) note(player string, now time.Time) {
	x.rotate(now)
	x.now[player] = struct{}{}
}

func (x *seen) forget(player string) {
	delete(x.now, player)
	delete(x.before, player)
}

func (x *seen) rotate(now time.Time) {
	switch passed := now.Sub(x.since); {
	case passed < time.Minute:
	case passed < 2*time.Minute:
		x.before, x.now, x.since = x.now, map[string]struct{}{}, x.since.Add(time.Minute)
	default:
		x.before, x.now, x.since = nil, map[string]struct{}{}, now
	}
}

func (x *seen) count(now time.Time) int {
	x.rotate(now)
	n := len(x.now)
	for player := range x.before {
		if _, again := x.now[player]; !again {
			n++
		}
	}
	return n
}

// metrics holds a service's Prometheus metrics.
type metrics struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	of         map[string]func() figures // by message, made on first use
}

// figures holds one message's metrics, so that a request needs no search by label.
type figures struct {
	ok      prometheus.Counter
	seconds prometheus.Observer
}

func newMetrics(s *Service, r prometheus.Registerer) (*metrics, error) {
	labels := prometheus.Labels{"service": s.cfg.Type}
	m := &metrics{
		registerer: r,
		requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wind_rpc_requests_total", Help: "Requests, by message and how they ended.", ConstLabels: labels}, []string{"message", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wind_rpc_seconds", Help: "Time from a handler's beginning to its answer.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(20e-6, 4, 10),
		}, []string{"message"}),
		of: make(map[string]func() figures, len(s.messages)),
	}
	for name := range s.messages {
		m.of[name] = sync.OnceValue(func() figures {
			return figures{m.requests.WithLabelValues(name, rpc.OK.String()), m.seconds.WithLabelValues(name)}
		})
	}
	gauge := func(name, help string, read func(Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return read(s.Stats()) })
	}
	m.all = []prometheus.Collector{
		m.requests, m.seconds,
		gauge("wind_rpc_in_flight", "Handlers that run or are suspended.", func(x Stats) float64 { return float64(x.InFlight) }),
		gauge("wind_rpc_waiting", "Requests that have not begun.", func(x Stats) float64 { return float64(x.Waiting) }),
		gauge("wind_rpc_stalled_seconds", "How long a handler has held the thread; 0 unless stalled.", func(x Stats) float64 { return x.Stalled }),
		gauge("wind_rpc_players", "Players with recent requests.", func(x Stats) float64 { return float64(x.Players) }),
	}
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, done := range m.all[:i] {
				r.Unregister(done)
			}
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}

// count records how a request ended. Messages without a handler share the name unknown, because clients choose names.
func (s *Service) count(t *task, a *rpc.Response) {
	s.handled.Add(1)
	code := rpc.OK
	if a.Err != nil {
		s.failed.Add(1)
		code = a.Err.Code
	}
	if s.metrics.registerer == nil {
		return
	}
	m, name := s.metrics, t.request.Message
	of, known := m.of[name]
	if !known || s.table.Load().of(t.request)[name] == nil {
		m.requests.WithLabelValues("unknown", code.String()).Inc()
		return
	}
	f := of()
	if code == rpc.OK {
		f.ok.Inc()
	} else {
		m.requests.WithLabelValues(name, code.String()).Inc()
	}
	if !t.begun.IsZero() {
		f.seconds.Observe(time.Since(t.begun).Seconds())
	}
}

func stack() string { return string(debug.Stack()) }
