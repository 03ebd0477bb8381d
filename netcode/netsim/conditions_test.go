package netsim

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Conditions{
		"120ms":                       {RTT: 120 * time.Millisecond},
		"120ms,25ms,5%":               {RTT: 120 * time.Millisecond, Jitter: 25 * time.Millisecond, Loss: 0.05},
		"5%, 120ms":                   {RTT: 120 * time.Millisecond, Loss: 0.05},
		"jitter=20ms,120ms":           {RTT: 120 * time.Millisecond, Jitter: 20 * time.Millisecond},
		"loss=2.5%,burst=3":           {Loss: 0.025, Burst: 3},
		"rate=512kbit,queue=50ms":     {Rate: 512_000, Queue: 50 * time.Millisecond},
		"rate=1.5mbit":                {Rate: 1_500_000},
		"reorder=1%,dup=0.5%,rtt=0ms": {Reorder: 0.01, Duplicate: 0.005},
		"100%":                        {Loss: 1},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, and read as %+v, %v", text, got, again, err)
		}
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                     `"": want a time such as 120ms`,
		"120":                  `"120": want a time such as 120ms`,
		"120ms,":               `"": want a time`,
		"120ms,5%,6%":          "gives loss twice",
		"120ms,20ms,rtt=100ms": "gives rtt twice",
		"loss=5":               `"loss=5": want a share such as 5%`,
		"101%":                 "loss 101%: want 0% to 100%",
		"NaN%":                 "want 0% to 100%",
		"lag=5ms":              `"lag=5ms": want rtt, jitter`,
		"11s":                  "rtt 11s: want 0 to 10s",
		"-1ms":                 "rtt -1ms: want 0 to 10s",
		"20ms,30ms":            "jitter 30ms: want 0 to the round trip's 20ms",
		"burst=0":              "want how many packets in a row",
		"burst=0.5,5%":         "burst 0.5: want 1 to 1000 packets",
		"burst=2,80%":          "burst 2 is too short for a loss of 80%",
		"rate=5":               "want bits per second",
		"rate=0kbit":           "want bits per second",
		"rate=11gbit":          "want bits per second",
		"queue=11s":            "queue 11s: want 0 to 10s",
		"rate=1e400kbit":       "want bits per second",
		"120ms,dup=1%,dup=2%":  "gives dup twice",
		"reorder=-1%":          "reorder -1%: want 0% to 100%",
		"jitter=5ms":           "jitter 5ms: want 0 to the round trip's 0s",
		"burst=Inf,1%":         "burst +Inf: want 1 to 1000 packets",
		"120ms,burst=two,5%":   `"burst=two": want how many packets`,
		"120ms,25ms,5ms,5%":    "gives jitter twice",
	} {
		c, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if c != (Conditions{}) {
			t.Errorf("%q: %+v beside an error", text, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("120ms,25ms,5%,burst=3,reorder=1%,dup=1%,rate=512kbit,queue=200ms")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(c.String()); c != (Conditions{}) && err != nil {
			t.Fatalf("%q is written as %q, which cannot be read: %v", text, c, err)
		} else if again.RTT != c.RTT || again.Jitter != c.Jitter || again.Queue != c.Queue {
			t.Fatalf("%q is written as %q, and read as %+v", text, c, again)
		}
		p := NewPath(c, 1)
		for at := range 50 {
			p.Send(nil, time.Duration(at)*time.Millisecond, 1200)
		}
	})
}
