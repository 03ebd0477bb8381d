package netsim

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Conditions describe a network between two ends. Both directions are alike. The zero value is a perfect network.
type Conditions struct {
	RTT       time.Duration // round trip without jitter, 0 to 10 s: each direction takes half of it
	Jitter    time.Duration // how far the round trip strays from RTT, up or down; at most RTT
	Loss      float64       // share of the packets that are lost, 0 to 1
	Burst     float64       // how many packets in a row are lost, on average, at least 1; 0: each packet for itself
	Reorder   float64       // share of the packets that are held back, for up to 100 ms or Jitter, so that later ones overtake them; 0 to 1
	Duplicate float64       // share of the packets that arrive twice, 0 to 1
	Rate      int           // bits per second that a direction carries; 0: no limit
	Queue     time.Duration // how long a packet waits at most for its turn under Rate, or it is lost; 0: DefaultQueue
}

// DefaultQueue is how long a packet waits at most for its turn, unless Conditions say it.
const DefaultQueue = 200 * time.Millisecond

const (
	maxRTT  = 10 * time.Second
	maxRate = 10_000_000_000
)

// Check returns an error for values out of range.
func (c Conditions) Check() error {
	share := func(name string, v float64) error {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("netsim: %s %s: want 0%% to 100%%", name, percent(v))
		}
		return nil
	}
	err := errors.Join(share("loss", c.Loss), share("reorder", c.Reorder), share("dup", c.Duplicate))
	switch {
	case err != nil:
		return err
	case c.RTT < 0 || c.RTT > maxRTT:
		return fmt.Errorf("netsim: rtt %v: want 0 to %v", c.RTT, maxRTT)
	case c.Jitter < 0 || c.Jitter > c.RTT:
		return fmt.Errorf("netsim: jitter %v: want 0 to the round trip's %v", c.Jitter, c.RTT)
	case c.Burst != 0 && !(c.Burst >= 1 && c.Burst <= 1000):
		return fmt.Errorf("netsim: burst %v: want 1 to 1000 packets", c.Burst)
	case c.Loss < 1 && c.Loss/(1-c.Loss) > max(c.Burst, 1) && c.Burst != 0:
		return fmt.Errorf("netsim: burst %v is too short for a loss of %s", c.Burst, percent(c.Loss))
	case c.Rate < 0 || c.Rate > maxRate:
		return fmt.Errorf("netsim: rate %d: want at most 10gbit", c.Rate)
	case c.Queue < 0 || c.Queue > maxRTT:
		return fmt.Errorf("netsim: queue %v: want 0 to %v", c.Queue, maxRTT)
	}
	return nil
}

// Parse reads conditions from text: items separated by commas, in any order. A first duration is the round trip, a second one the jitter, and a
// percentage the loss; everything has a name, too.
//
//	120ms,25ms,5%
//	rtt=120ms,jitter=25ms,loss=5%,burst=3,reorder=1%,dup=1%,rate=512kbit,queue=200ms
func Parse(text string) (Conditions, error) {
	var c Conditions
	set := map[string]bool{}
	for item := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(strings.TrimSpace(item), "=")
		if !named {
			name, value = bare(name, set["rtt"]), name
		}
		if set[name] {
			return Conditions{}, fmt.Errorf("netsim: %q gives %s twice", text, name)
		}
		set[name] = true
		if err := c.put(name, value); err != nil {
			return Conditions{}, fmt.Errorf("netsim: %q: %w", strings.TrimSpace(item), err)
		}
	}
	if err := c.Check(); err != nil {
		return Conditions{}, err
	}
	return c, nil
}

// bare returns the name of an item without one.
func bare(value string, rtt bool) string {
	switch {
	case strings.HasSuffix(value, "%"):
		return "loss"
	case rtt:
		return "jitter"
	}
	return "rtt"
}

// put sets one of the conditions.
func (c *Conditions) put(name, value string) (err error) {
	switch name {
	case "rtt":
		c.RTT, err = duration(value)
	case "jitter":
		c.Jitter, err = duration(value)
	case "queue":
		c.Queue, err = duration(value)
	case "loss":
		c.Loss, err = share(value)
	case "reorder":
		c.Reorder, err = share(value)
	case "dup":
		c.Duplicate, err = share(value)
	case "burst":
		if c.Burst, err = strconv.ParseFloat(value, 64); err != nil || c.Burst == 0 {
			err = errors.New("want how many packets in a row are lost, such as 3")
		}
	case "rate":
		c.Rate, err = rate(value)
	default:
		err = errors.New("want rtt, jitter, loss, burst, reorder, dup, rate or queue")
	}
	return err
}

func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, errors.New("want a time such as 120ms, or a share such as 5%")
	}
	return d, nil
}

func share(value string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
	if err != nil || !strings.HasSuffix(value, "%") {
		return 0, errors.New("want a share such as 5%")
	}
	return v / 100, nil
}

// units are those of a rate, the longest first where one ends like another.
var units = []struct {
	name string
	bits float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}}

func rate(value string) (int, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(value, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(number, 64)
		if err == nil && v > 0 && v*u.bits <= maxRate {
			return int(math.Round(v * u.bits)), nil
		}
	}
	return 0, errors.New("want bits per second, such as 512kbit or 2mbit")
}

// String returns the text that Parse reads; "" is a perfect network.
func (c Conditions) String() string {
	var items []string
	add := func(present bool, format string, v any) {
		if present {
			items = append(items, fmt.Sprintf(format, v))
		}
	}
	add(c.RTT != 0, "rtt=%v", c.RTT)
	add(c.Jitter != 0, "jitter=%v", c.Jitter)
	add(c.Loss != 0, "loss=%s", percent(c.Loss))
	add(c.Burst != 0, "burst=%v", c.Burst)
	add(c.Reorder != 0, "reorder=%s", percent(c.Reorder))
	add(c.Duplicate != 0, "dup=%s", percent(c.Duplicate))
	add(c.Rate != 0, "rate=%skbit", strconv.FormatFloat(float64(c.Rate)/1e3, 'g', -1, 64))
	add(c.Queue != 0, "queue=%v", c.Queue)
	return strings.Join(items, ",")
}

func percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e8)/1e6, 'g', -1, 64) + "%"
}
