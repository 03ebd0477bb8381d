package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// natsCluster are three NATS servers of the kind that others run, each a process of its own.
type natsCluster struct {
	t       *testing.T
	bin     string
	configs [3]string
	health  [3]string // URL
	running [3]*exec.Cmd
	urls    string // of all three
}

// startNATSCluster builds nats-server, starts three and waits until they have a leader.
func startNATSCluster(t *testing.T) *natsCluster {
	t.Helper()
	c := &natsCluster{t: t, bin: filepath.Join(t.TempDir(), "nats-server")}
	if out, err := exec.Command("go", "build", "-o", c.bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("nats-server cannot be built: %v\n%s", err, out)
	}
	var routes, urls []string
	var ports [3][3]string // client, cluster, monitor
	for i := range ports {
		ports[i] = [3]string{nodetest.Port(t), nodetest.Port(t), nodetest.Port(t)}
		urls = append(urls, "nats://127.0.0.1:"+ports[i][0])
		routes = append(routes, fmt.Sprintf("%q", "nats://127.0.0.1:"+ports[i][1]))
	}
	c.urls = strings.Join(urls, ",")
	for i, p := range ports {
		config := fmt.Sprintf(`server_name: s%d
listen: "127.0.0.1:%s"
http: "127.0.0.1:%s"
max_payload: 8MB
jetstream { store_dir: %q, max_file_store: 4TB, max_memory_store: 256MB }
cluster { name: test, listen: "127.0.0.1:%s", routes: [%s] }
`, i, p[0], p[2], filepath.Join(t.TempDir(), "js"), p[1], strings.Join(routes, ", "))
		c.configs[i], c.health[i] = filepath.Join(t.TempDir(), "nats.conf"), "http://127.0.0.1:"+p[2]+"/healthz"
		if err := os.WriteFile(c.configs[i], []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.running {
			c.kill(i)
		}
	})
	c.ready()
	return c
}

func (c *natsCluster) start(i int) {
	c.t.Helper()
	c.running[i] = exec.Command(c.bin, "-c", c.configs[i])
	if err := c.running[i].Start(); err != nil {
		c.t.Fatal(err)
	}
}

// kill is kill -9.
func (c *natsCluster) kill(i int) {
	_ = c.running[i].Process.Signal(syscall.SIGKILL)
	_ = c.running[i].Wait()
}

// ready waits until all three say that they are.
func (c *natsCluster) ready() {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		healthy := 0
		for _, url := range c.health {
			if resp, err := http.Get(url); err == nil {
				if resp.StatusCode == http.StatusOK {
					healthy++
				}
				resp.Body.Close()
			}
		}
		if healthy == len(c.health) {
			return
		}
		if time.Now().After(end) {
			c.t.Fatal("the NATS cluster does not become healthy")
		}
	}
}

// TestNodesStartedTogetherOnAFreshReplicatedShardServeIt starts two nodes at once on a shard that nobody ever owned, on three
// NATS servers. Before, five of six such starts hung in phase check. WIND_LONG has it twenty times, within 5 s each.
func TestNodesStartedTogetherOnAFreshReplicatedShardServeIt(t *testing.T) {
	times, limit := 2, 20*time.Second
	if os.Getenv("WIND_LONG") != "" {
		times, limit = 20, 5*time.Second
	}
	servers, infra := startNATSCluster(t), startCluster(t)
	for i := range times {
		began := time.Now()
		var nodes [2]*process
		for k := range nodes {
			nodes[k] = wind(t, "serve", "--nats", servers.urls, "--etcd", infra.etcd, "--replicas", "3", "--shard", fmt.Sprintf("fresh%d", i),
				"--node", []string{"anna", "bert"}[k], "--udp", infra.udp[k], "--tcp", "", "--http", infra.http[k], "--monsters", "5", "--json")
		}
		_, owner := served(t, infra.http[:]...)
		took := time.Since(began)
		t.Logf("start %d: served after %s", i+1, took.Round(10*time.Millisecond))
		if took > limit {
			t.Errorf("start %d: served after %s, more than %s:\n%s\n\n%s", i+1, took.Round(10*time.Millisecond), limit, nodes[0].log(), nodes[1].log())
		}
		if owner < 0 {
			return
		}
		nodes[1-owner].says("waiting")
		for _, n := range []*process{nodes[1-owner], nodes[owner]} {
			if code := n.stop(); code != 0 {
				t.Errorf("a node ends with %d:\n%s", code, n.log())
			}
		}
	}
}
