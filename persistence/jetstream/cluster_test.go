package jetstream

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// site is a place to store: one server of ours, or three external ones.
type site struct {
	addrs    []string
	user     string // "user:password@", or ""
	replicas int
	shared   bool // the shard is in a partition
}

// onSites runs a test with one replica and with three, as they behave differently.
func onSites(t *testing.T, test func(t *testing.T, s site)) {
	t.Run("R1", func(t *testing.T) {
		s := startServer(t, ServerConfig{User: "node", Password: "secret"})
		test(t, site{addrs: []string{s.Addr()}, user: "node:secret@", replicas: 1})
	})
	t.Run("R3", func(t *testing.T) {
		test(t, site{addrs: startCluster(t, 1<<36), replicas: 3})
	})
}

// connect opens a connection as a node does. If through is not "", it is a proxy's address to use instead of the
// server's.
func (s site) connect(t testing.TB, through string) *Conn {
	t.Helper()
	addr := s.addrs[0]
	if through != "" {
		addr = through
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := Connect(ctx, ConnectConfig{URL: "nats://" + s.user + addr, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// startCluster starts three servers that replicate, each with a storage limit of storeBytes, and returns their
// addresses.
func startCluster(t testing.TB, storeBytes int64) []string {
	t.Helper()
	var ports [3]int
	var routes []*url.URL
	var held []net.Listener
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l) // until all three ports are known
		ports[i] = l.Addr().(*net.TCPAddr).Port
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])})
	}
	for _, l := range held {
		l.Close()
	}
	var addrs []string
	var all []*server.Server
	for i, port := range ports {
		ns, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("s%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: storeBytes, JetStreamMaxMemory: 1 << 28, MaxPayload: maxPayload,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		ns.SetLoggerV2(newServerLog(quiet(), func() {}), false, false, false)
		ns.Start()
		t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
		all = append(all, ns)
	}
	for _, ns := range all {
		if !ns.ReadyForConnections(20 * time.Second) {
			t.Fatal("a server of the cluster does not start")
		}
		addrs = append(addrs, ns.Addr().String())
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		leader, current := false, 0
		for _, ns := range all {
			leader = leader || ns.JetStreamIsLeader()
			if ns.JetStreamIsCurrent() {
				current++
			}
		}
		if leader && current == len(all) {
			return addrs
		}
		if time.Now().After(end) {
			t.Fatal("the cluster elects no leader")
		}
	}
}
