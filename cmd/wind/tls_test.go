package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/netcode/cert"
)

// TestBotsPlayOverTLS: a node makes its certificate and prints the fingerprint; bots that pin it play, others do not, and the doctor finds the node. Nothing
// prints the key.
func TestBotsPlayOverTLS(t *testing.T) {
	t.Parallel() // mostly waits
	data, tcp, web := t.TempDir(), nodetest.Addr(t), nodetest.Addr(t)
	serve := wind(t, "serve", "--data", data, "--udp", "", "--tcp", tcp, "--http", web, "--tls", "--nats-port", "0", "--etcd-port", "0", "--monsters", "5")
	serve.until("makes its certificate", func() bool {
		_, err := os.Stat(filepath.Join(data, "tls-cert.pem"))
		return err == nil
	})
	pair, err := cert.SelfMade(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	pin := pair.Fingerprint()
	serve.until("prints its fingerprint", func() bool { return strings.Contains(serve.log(), "--tls-pin "+pin) })
	trust, err := cert.Pinned(pin)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	serve.until("is healthy, over https", func() bool {
		answer, err := c.Get("https://" + web + "/healthz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var h node.Health
		return json.NewDecoder(answer.Body).Decode(&h) == nil && h.Healthy
	})
	var played struct{ Clients, Updates, Drops int }
	run(t, 0, &played, "bots", "--transport", "tcp", "--addr", tcp, "--tls-pin", pin, "--count", "3", "--for", "2s", "--json")
	if played.Clients != 3 || played.Updates == 0 || played.Drops != 0 {
		t.Errorf("bots that pin the certificate: %+v", played)
	}
	run(t, 0, &played, "bots", "--transport", "tcp", "--addr", tcp, "--tls-ca", filepath.Join(data, "tls-cert.pem"), "--count", "1", "--for", "1s", "--json")
	for _, trust := range [][]string{{}, {"--tls"}, {"--tls-pin", strings.Repeat("0", 64)}} {
		run(t, 1, nil, append([]string{"bots", "--transport", "tcp", "--addr", tcp, "--count", "1", "--wait", "2s", "--for", "1s"}, trust...)...)
	}
	doctor := wind(t, "doctor", "--data", data, "--udp", "", "--tcp", tcp, "--http", web, "--tls")
	doctor.exit()
	if said := string(doctor.output()); !strings.Contains(said, "serves") && !strings.Contains(said, "tick") {
		t.Errorf("the doctor does not find the node: %s", said)
	}
	if code := serve.stop(); code != 0 {
		t.Errorf("serve ends with %d", code)
	}
	secret, err := os.ReadFile(filepath.Join(data, "tls-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Split(string(secret), "\n")[1]
	if said := serve.log() + string(serve.output()); strings.Contains(said, "PRIVATE") || strings.Contains(said, line) {
		t.Error("the node prints its key")
	}
}
