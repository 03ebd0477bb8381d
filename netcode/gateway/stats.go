package gateway

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/netcode/rpc"
)

// maxCode is above every rpc.Code in use. Faults with higher codes count as Unknown.
const maxCode = 17

// counters holds a gateway's live counters.
type counters struct {
	opened, closed, logins, logouts, replaced atomic.Uint64
	requests, again, rebound, orphans         atomic.Uint64
	pushes, pushesDropped, bytesIn, bytesOut  atomic.Uint64
	inflight                                  atomic.Int64
	faults                                    [maxCode]atomic.Uint64
}

func (c *counters) fault(code rpc.Code) {
	if code >= maxCode {
		code = rpc.Unknown
	}
	c.faults[code].Add(1)
}

// Stats counts what a gateway has done since it was made.
type Stats struct {
	Opened   uint64 // sessions
	Sessions int    // now
	Logins   uint64
	Players  int    // logged in, now
	Replaced uint64 // sessions that ended because their player logged in elsewhere

	Requests uint64
	InFlight int                 // without an answer, now
	Again    uint64              // sent again, because no instance had received them
	Rebound  uint64              // players bound to a different instance than before
	Orphans  uint64              // sessions of gateways that had gone, whose services this gateway told
	Faults   uint64              // requests that failed
	FaultsBy map[rpc.Code]uint64 // the same, by code

	Pushes        uint64 // one per session that got a push
	PushesDropped uint64 // could not be converted to the session's format

	BytesIn, BytesOut uint64 // frames and text messages
}

// Stats may be called at any time.
func (g *Gateway) Stats() Stats {
	c := &g.counters
	s := Stats{
		Opened: c.opened.Load(), Logins: c.logins.Load(), Replaced: c.replaced.Load(),
		Requests: c.requests.Load(), InFlight: int(c.inflight.Load()), Again: c.again.Load(), Rebound: c.rebound.Load(), Orphans: c.orphans.Load(),
		Pushes: c.pushes.Load(), PushesDropped: c.pushesDropped.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		FaultsBy: map[rpc.Code]uint64{},
	}
	// Endings are read first, so that no difference is negative.
	closed, logouts := c.closed.Load(), c.logouts.Load()
	s.Sessions, s.Players = int(max(s.Opened, c.opened.Load())-closed), int(c.logins.Load()-logouts)
	for code := range c.faults {
		if n := c.faults[code].Load(); n > 0 {
			s.FaultsBy[rpc.Code(code)] = n
			s.Faults += n
		}
	}
	return s
}

// collector exports the statistics as metrics.
type collector struct{ g *Gateway }

var (
	described = func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("wind_gateway_"+name, help, labels, nil)
	}
	sessionsOpened = described("sessions_opened_total", "Sessions opened.")
	sessionsOpen   = described("sessions", "Open sessions.")
	loginsTotal    = described("logins_total", "Confirmed logins.")
	playersNow     = described("players", "Logged-in sessions.")
	replacedTotal  = described("replaced_total", "Sessions that ended because their player logged in elsewhere.")
	requestsTotal  = described("requests_total", "Messages from clients to services.")
	inFlightNow    = described("in_flight", "Requests without an answer.")
	againTotal     = described("sent_again_total", "Requests sent again because no instance had received them.")
	reboundTotal   = described("rebound_total", "Players bound to a different instance than before.")
	faultsTotal    = described("faults_total", "Failed requests, by code.", "code")
	pushesTotal    = described("pushes_total", "Pushes, one per session that got one.")
	droppedTotal   = described("pushes_dropped_total", "Pushes that could not be converted to a session's format.")
	bytesTotal     = described("bytes_total", "Bytes of frames and text messages.", "direction")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		sessionsOpened, sessionsOpen, loginsTotal, playersNow, replacedTotal, requestsTotal, inFlightNow, againTotal, reboundTotal,
		faultsTotal, pushesTotal, droppedTotal, bytesTotal,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.g.Stats()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	count(sessionsOpened, s.Opened)
	gauge(sessionsOpen, s.Sessions)
	count(loginsTotal, s.Logins)
	gauge(playersNow, s.Players)
	count(replacedTotal, s.Replaced)
	count(requestsTotal, s.Requests)
	gauge(inFlightNow, s.InFlight)
	count(againTotal, s.Again)
	count(reboundTotal, s.Rebound)
	for code, n := range s.FaultsBy {
		count(faultsTotal, n, strconv.Itoa(int(code)))
	}
	count(pushesTotal, s.Pushes)
	count(droppedTotal, s.PushesDropped)
	count(bytesTotal, s.BytesIn, "in")
	count(bytesTotal, s.BytesOut, "out")
}
