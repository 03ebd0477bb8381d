package jetstream

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/ferris1/wind/persistence"
)

// reader is a client of the port without credentials.
func reader(t *testing.T, s *Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("nats://"+s.Addr(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// TestAnswersToReadersReachNoLog sends requests that name the log's subject as the reply subject.
func TestAnswersToReadersReachNoLog(t *testing.T) {
	s := startServer(t, ServerConfig{})
	shard := createShard(t, connectTo(t, s))
	appendTicks(t, shard, 3)
	serveMicro(t, s, "game-1")
	nc, before := reader(t, s), lastOf(t, shard)
	for _, subject := range []string{"$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.WIND_dev_main", "$JS.API.CONSUMER.CREATE.WIND_dev_main_DELTA", "$JS.API.CONSUMER.DELETE.WIND_dev_main.x", "$SYS.REQ.USER.INFO", "$SRV.PING", "$SRV.INFO.wind-game"} {
		for _, reply := range []string{logSubject("dev", "main", testLineage), deltaSubject("dev", "main", testLineage)} {
			if err := nc.PublishRequest(subject, reply, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	settle(t, nc)
	if after := lastOf(t, shard); after != before {
		t.Fatalf("the log went from %d to %d", before, after)
	}
	appendTicks(t, shard, 1)
}

// serveMicro starts an instance of a service as netcode/bus announces it.
func serveMicro(t *testing.T, s *Server, id string) {
	t.Helper()
	nc := connectTo(t, s).NATS()
	m, err := micro.AddService(nc, micro.Config{Name: "wind-game", Version: "1.0.0", Metadata: map[string]string{"instance": id}})
	if err == nil {
		err = nc.Flush() // or a question may come to the server before the subscriptions
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Stop() })
}

// TestReadersListServices asks as `nats micro ls`, `info` and `stats` do.
func TestReadersListServices(t *testing.T) {
	s := startServer(t, ServerConfig{})
	serveMicro(t, s, "game-1")
	serveMicro(t, s, "game-2")
	nc := reader(t, s)
	for _, subject := range []string{"$SRV.PING", "$SRV.INFO", "$SRV.INFO.wind-game", "$SRV.STATS.wind-game"} {
		sub, err := nc.SubscribeSync(nc.NewInbox())
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest(subject, sub.Subject, nil); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			m, err := sub.NextMsg(10 * time.Second)
			if err != nil || !strings.Contains(string(m.Data), `"instance":"game-`) {
				t.Fatalf("%s: %v", subject, err)
			}
		}
	}
	if _, err := nc.Request("windrpc.dev.game.admin.game-1", []byte(`{"op":"drain"}`), time.Second); err == nil {
		t.Error("a reader's request is executed")
	}
}

// TestConsumersOfReadersDeliverToThem requests push consumers that deliver into a log, spelt in ways that two JSON
// parsers may read differently.
func TestConsumersOfReadersDeliverToThem(t *testing.T) {
	s := startServer(t, ServerConfig{})
	shard := createShard(t, connectTo(t, s))
	appendTicks(t, shard, 3)
	putSnapshot(t, shard)
	nc, before := reader(t, s), lastOf(t, shard)
	target := logSubject("dev", "main", testLineage)
	snapshots := objectPrefix + snapshotBucket("dev") // its messages carry no expected sequence for their target stream
	for _, deliver := range []string{
		`"deliver_subject":"` + target + `"`,
		`"DELIVER_SUBJECT":"` + target + `"`,
		`"deliver_subject":"_INBOX.a","deliver_\u017fubject":"` + target + `"`,
		`"deliver_subject":"` + target + `","DELIVER_SUBJECT":"_INBOX.a"`,
		`"deliver_subject":"_INBOX.` + target + `"`,
	} {
		body := fmt.Sprintf(`{"stream_name":%q,"config":{"ack_policy":"none","deliver_policy":"all","replay_policy":"instant",%s}}`, snapshots, deliver)
		_, _ = nc.Request("$JS.API.CONSUMER.CREATE."+snapshots, []byte(body), 5*time.Second) // refused or harmless
	}
	settle(t, nc)
	if after := lastOf(t, shard); after != before {
		t.Fatalf("the log went from %d to %d", before, after)
	}
	appendTicks(t, shard, 1)
}

// TestReadersPushConsumersWork: messages that pass the gate reach the reader.
func TestReadersPushConsumersWork(t *testing.T) {
	s := startServer(t, ServerConfig{})
	appendTicks(t, createShard(t, connectTo(t, s)), 3)
	nc := reader(t, s)
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := js.SubscribeSync(logSubject("dev", "main", testLineage), nats.OrderedConsumer())
	if err != nil {
		t.Fatal(err)
	}
	for want := 1; want <= 3; want++ {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != uint64(want) {
			t.Fatalf("message %d: %+v, %v", want, meta, err)
		}
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Error(err)
	}
}

// TestReadersLeaveConsumersOfNodesAlone also checks that readers leave no consumers of their own behind.
func TestReadersLeaveConsumersOfNodesAlone(t *testing.T) {
	ctx := testContext(t)
	s := startServer(t, ServerConfig{})
	conn := connectTo(t, s)
	shard := createShard(t, conn)
	appendTicks(t, shard, 3)
	stream := shard.Log().stream
	p, err := newPuller(ctx, conn, &shard.log.lane, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	nc := reader(t, s)
	ask := func(subject string, body any) jetstream.APIError {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		m, err := nc.Request(subject, b, 5*time.Second)
		if err != nil {
			t.Fatal(subject, err)
		}
		var answer struct{ Error jetstream.APIError }
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			t.Fatalf("%s: %q: %v", subject, m.Data, err)
		}
		return answer.Error
	}
	create := func(c jetstream.ConsumerConfig) any {
		return map[string]any{"stream_name": "WIND_dev_main", "config": c}
	}
	for _, try := range []struct {
		what, subject string
		body          any
	}{
		{"delete a node's consumer", "$JS.API.CONSUMER.DELETE.WIND_dev_main." + p.consumer, nil},
		{"change a node's consumer", "$JS.API.CONSUMER.CREATE.WIND_dev_main." + p.consumer, create(jetstream.ConsumerConfig{Name: p.consumer, MaxWaiting: 1})},
	} {
		if e := ask(try.subject, try.body); e.Code != 403 || !strings.Contains(e.Description, "read-only") {
			t.Errorf("a reader may %s: %+v", try.what, e)
		}
	}
	for _, subject := range []string{"$JS.API.CONSUMER.NAMES.WIND_dev_main", "$JS.API.CONSUMER.LIST.WIND_dev_main"} {
		if m, err := nc.Request(subject, nil, 300*time.Millisecond); err == nil {
			t.Errorf("%s answers a reader: %s", subject, m.Data)
		}
	}
	for _, config := range []jetstream.ConsumerConfig{{Name: "mine", InactiveThreshold: 1000 * time.Hour}, {Name: "mine", Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy}} {
		if e := ask("$JS.API.CONSUMER.CREATE.WIND_dev_main.mine", create(config)); e.Code != 0 {
			t.Fatalf("a reader's own consumer: %+v", e)
		}
		c, err := stream.Consumer(ctx, "mine")
		if err != nil {
			t.Fatal(err)
		}
		if c := c.CachedInfo().Config; c.InactiveThreshold <= 0 || c.InactiveThreshold > longestReader || !c.MemoryStorage {
			t.Errorf("a reader's consumer stays: %+v", c)
		}
		if e := ask("$JS.API.CONSUMER.DELETE.WIND_dev_main.mine", nil); e.Code != 0 {
			t.Errorf("a reader may not delete his own consumer: %+v", e)
		}
	}
	if m, err := p.next(ctx, 1, 10*time.Second); err != nil || m.Header.Get("Wind-Kind") != "genesis" {
		t.Errorf("the node's consumer: %v", err)
	}
}

// settle waits until the server has processed all requests of nc.
func settle(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // answers of the API and of the gate come from goroutines of the server, in order
		if _, err := nc.Request("$JS.API.STREAM.INFO.WIND_dev_main", nil, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Request("$JS.API.CONSUMER.DELETE.WIND_dev_main.nobody", nil, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAReaderReadsAllOfAShard: a reader needs no credentials for records, deltas and snapshots, and leaves no consumer
// behind.
func TestAReaderReadsAllOfAShard(t *testing.T) {
	ctx := testContext(t)
	s := startServer(t, ServerConfig{})
	shard := createShard(t, connectTo(t, s))
	appendTicks(t, shard, 3)
	for tick := uint64(1); tick <= 3; tick++ {
		if err := shard.Deltas().Publish(ctx, []persistence.Delta{deltaOf(tick, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	putSnapshot(t, shard)

	conn, err := Connect(ctx, ConnectConfig{URL: "nats://" + s.Addr(), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read, err := Open(ctx, conn, "dev", "main", "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	r, err := persistence.Check(ctx, read.Source(), persistence.CheckOptions{})
	if err != nil || r.Broken() || r.Records != 5 || r.Deltas != 3 || r.Snapshots != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	next := persistence.Seq(1)
	for m, err := range read.Log().Follow(ctx, next) {
		if err != nil || m.Seq != next {
			t.Fatalf("record %d: %d, %v", next, m.Seq, err)
		}
		if next++; next == 6 {
			appendTicks(t, shard, 1)
		}
		if next == 7 {
			break
		}
	}
	for _, stream := range []string{"WIND_dev_main", "WIND_dev_main_DELTA"} {
		if i, err := shard.log.conn.js.Stream(ctx, stream); err != nil || i.CachedInfo().State.Consumers != 0 {
			t.Errorf("%s has a consumer left: %+v, %v", stream, i.CachedInfo().State, err)
		}
	}
}

// TestAReaderMakesNothing: a read-only connection creates no stream even if it has the right to: it reads a log without
// a delta stream as it is.
func TestAReaderMakesNothing(t *testing.T) {
	ctx := testContext(t)
	s := startServer(t, ServerConfig{})
	owner := connectTo(t, s)
	appendTicks(t, createShard(t, owner), 3)
	for _, stream := range []string{"WIND_dev_main_DELTA", "OBJ_WIND_dev_snapshots"} {
		if err := owner.js.DeleteStream(ctx, stream); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := Connect(ctx, ConnectConfig{URL: "nats://" + ownUser + ":" + s.doorman.own + "@" + s.Addr(), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read, err := Open(ctx, conn, "dev", "main", "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if r, err := persistence.Check(ctx, read.Source(), persistence.CheckOptions{}); err != nil || r.Broken() || r.Records != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	for stream := range owner.js.StreamNames(ctx).Name() {
		if stream != "WIND_dev_main" {
			t.Errorf("stream %s was made", stream)
		}
	}
}
