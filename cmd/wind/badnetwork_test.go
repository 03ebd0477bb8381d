package main

import (
	"strings"
	"testing"
)

// TestBotsPlayOverABadNetwork: what the bots and the node measure is the network that --net describes.
func TestBotsPlayOverABadNetwork(t *testing.T) {
	t.Parallel() // mostly waits
	var r struct {
		Clients int
		Bots    struct {
			RTTMillis float64 `json:"rtt_ms"`
			Updates   int
		}
		Inputs int
	}
	run(t, 0, &r, "dev", "--bots", "3", "--net", "150ms,10ms,2%", "--for", "5s", "--json",
		"--data", t.TempDir(), "--udp", "127.0.0.1:0", "--tcp", "", "--http", "")
	if r.Clients != 3 || r.Bots.RTTMillis < 140 || r.Bots.Updates == 0 || r.Inputs == 0 {
		t.Errorf("%+v", r)
	}
}

func TestABadNetworkThatCannotBeIsWrongUsage(t *testing.T) {
	t.Parallel() // mostly waits
	for want, args := range map[string][]string{
		`--net: "120": want a time such as 120ms, or a share such as 5%`: {"bots", "--net", "120"},
		"--net: loss 130%: want 0% to 100%":                              {"dev", "--bots", "1", "--net", "130%"},
		"--net: a round trip of up to 1.5s: bots get no session":         {"bots", "--net", "1400ms,100ms"},
		"bots: --net needs --transport udp":                              {"bots", "--net", "120ms", "--transport", "tcp"},
		"dev: --net is the network of the bots: give --bots, too":        {"dev", "--net", "120ms"},
	} {
		if p := run(t, 2, nil, args...); !strings.Contains(p.log(), want) {
			t.Errorf("%v: %s", args, p.log())
		}
	}
}
