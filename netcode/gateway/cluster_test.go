package gateway_test

import (
	"context"
	"flag"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m,
		// kcp-go starts these on import and offers no way to end them.
		goleak.IgnoreAnyFunction("github.com/xtaci/kcp-go/v5.(*TimedSched).prepend"),
		goleak.IgnoreAnyFunction("github.com/xtaci/kcp-go/v5.(*TimedSched).sched"))
}

// cluster is an in-memory cluster: services, a directory, a store and a bus.
type cluster struct {
	t      testing.TB
	routes gateway.Routes
	store  *store

	mu        sync.Mutex
	instances map[string]map[string]*instance
	watchers  map[int]func(serviceType, instance string, left bool)
	next      int
	buses     []*bus
	all       []*instance // including those that are gone
}

// instance is a service that handles requests with a function of the test.
type instance struct {
	kind, id string
	handle   func(r *rpc.Request, done func(rpc.Response))
	draining bool
	full     bool // the directory picks it for nobody
	crowded  bool // the directory picks it for nobody whose home it is
	deaf     bool // dead, but the directory does not know yet
	mu       sync.Mutex
	got      []string // messages and players, in order of arrival
	pending  map[int]func(rpc.Response)
	number   int
}

func newCluster(t testing.TB) *cluster {
	return &cluster{
		t: t, store: &store{values: map[string]stored{}}, instances: map[string]map[string]*instance{},
		watchers: map[int]func(string, string, bool){},
	}
}

var gameMethods = []rpc.Method{
	{Name: "PlayerLoginRequest", ID: 1001, Answer: 1002, Login: true},
	{Name: "CreateRoleRequest", ID: 1003, Answer: 1004},
	{Name: "SpeakOnWorldRequest", ID: 1005, Answer: 1006},
	{Name: "EchoRequest", ID: 1201, Answer: 1202},
	{Name: "NewsRequest", ID: 1203, Answer: 1204, Public: true},
	{Name: "Shout", ID: 1205},
}

// start adds an instance to the cluster. With a nil handler it uses serve.
func (c *cluster) start(kind, id string, handle func(r *rpc.Request, done func(rpc.Response))) *instance {
	i := &instance{kind: kind, id: id, pending: map[int]func(rpc.Response){}}
	if i.handle = handle; handle == nil {
		i.handle = i.serve
	}
	c.mu.Lock()
	if c.instances[kind] == nil {
		c.instances[kind] = map[string]*instance{}
	}
	c.instances[kind][id] = i
	c.all = append(c.all, i)
	c.mu.Unlock()
	c.routes.Set(kind, id, time.Time{}, gameMethods)
	c.tell(kind, id, false)
	return i
}

func (c *cluster) tell(kind, id string, left bool) {
	c.mu.Lock()
	watchers := slices.Collect(maps.Values(c.watchers))
	c.mu.Unlock()
	for _, w := range watchers {
		w(kind, id, left)
	}
}

// kill ends an instance as kill -9 does: it receives nothing more and leaves its requests unanswered. The directory does
// not know yet.
func (c *cluster) kill(i *instance) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.deaf = true
}

// notice tells the directory that an instance is gone.
func (c *cluster) notice(i *instance) {
	c.mu.Lock()
	delete(c.instances[i.kind], i.id)
	c.mu.Unlock()
	c.routes.Drop(i.kind, i.id)
	c.tell(i.kind, i.id, true)
}

func (c *cluster) drain(i *instance) {
	i.mu.Lock()
	i.draining = true
	i.mu.Unlock()
	c.tell(i.kind, i.id, false)
}

func (c *cluster) find(kind, id string) *instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.instances[kind][id]
}

// directory is the gateway's view of the cluster.
type directory struct {
	*gateway.Routes
	c *cluster
}

func (d directory) Look(kind, id string) gateway.Standing {
	i := d.c.find(kind, id)
	if i == nil {
		return gateway.Standing{}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return gateway.Standing{Alive: true, Draining: i.draining}
}

func (directory) Leave(string, string) {}

func (directory) Takes(string, string, rpc.Format) bool { return true }

// Pick picks the player's home unless that is crowded, or an instance by the last byte of the key, so that a test knows
// where a player goes.
func (d directory) Pick(kind, key, home, except string) (string, bool) {
	d.c.mu.Lock()
	ids := slices.Sorted(maps.Keys(d.c.instances[kind]))
	d.c.mu.Unlock()
	ids = slices.DeleteFunc(ids, func(id string) bool {
		i := d.c.find(kind, id)
		if i == nil || id == except {
			return true
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.draining || i.full || i.crowded && id == home
	})
	if slices.Contains(ids, home) {
		return home, true
	}
	if len(ids) == 0 {
		return "", false
	}
	return ids[int(key[len(key)-1])%len(ids)], true
}

func (d directory) Watch(f func(kind, id string, left bool)) (cancel func()) {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	n := d.c.next
	d.c.next++
	d.c.watchers[n] = f
	return func() {
		d.c.mu.Lock()
		defer d.c.mu.Unlock()
		delete(d.c.watchers, n)
	}
}

// bus is one gateway's link. It does what netcode/bus does, without NATS.
type bus struct {
	c       *cluster
	mu      sync.Mutex
	gateway *gateway.Gateway
	players map[string]int
	away    bool // cut off from the other gateways: pushes are lost
	back    []func()
}

// cut cuts the bus off from the others, or reconnects it.
func (b *bus) cut(away bool) {
	b.mu.Lock()
	b.away = away
	back := slices.Clone(b.back)
	b.mu.Unlock()
	for _, f := range back {
		if !away {
			f()
		}
	}
}

func (b *bus) Reconnected(f func()) (cancel func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.back = append(b.back, f)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.back = nil
	}
}

var unanswered = rpc.Response{Err: &rpc.Error{Code: rpc.Unavailable, Text: "nobody is there", NotBegun: true}}

func (b *bus) Send(kind, id string, r *rpc.Request, done func(rpc.Response)) {
	i := b.c.find(kind, id)
	if i == nil || !i.take(r, done) {
		done(unanswered)
	}
}

func (b *bus) Fail(kind, id string) {
	b.c.mu.Lock()
	all := slices.Clone(b.c.all)
	b.c.mu.Unlock()
	for _, i := range all {
		if i.kind == kind && i.id == id {
			i.failAll()
		}
	}
}

// failAll fails what an instance has not answered, as the bus does when the instance is gone.
func (i *instance) failAll() {
	i.mu.Lock()
	pending := i.pending
	i.pending = map[int]func(rpc.Response){}
	i.mu.Unlock()
	for _, done := range pending {
		done(rpc.Response{Err: &rpc.Error{Code: rpc.Unavailable, Text: "the service went away", Maybe: true}})
	}
}

func (b *bus) Tell(to rpc.Address, r rpc.Request) error {
	if i := b.c.find(to.Type, to.ID); i != nil {
		i.take(&r, func(rpc.Response) {})
	}
	return nil
}

func (b *bus) Push(player string, p rpc.Push) error {
	b.c.push(player, p)
	return nil
}

// push delivers a push to the gateways that have subscribed.
func (c *cluster) push(player string, p rpc.Push) {
	c.mu.Lock()
	buses := slices.Clone(c.buses)
	c.mu.Unlock()
	for _, b := range buses {
		b.mu.Lock()
		g, mine := b.gateway, (player == "" || b.players[player] > 0) && !b.away
		b.mu.Unlock()
		if mine {
			g.Push(player, p)
		}
	}
}

func (b *bus) Subscribe(player string) (cancel func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.players[player]++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.players[player]--; b.players[player] == 0 {
			delete(b.players, player)
		}
	}), nil
}

// take gives a request to an instance. It returns false if the instance is dead.
func (i *instance) take(r *rpc.Request, done func(rpc.Response)) bool {
	i.mu.Lock()
	if i.deaf {
		i.mu.Unlock()
		return false
	}
	i.got = append(i.got, r.Message+" "+r.Player)
	i.number++
	n := i.number
	i.pending[n] = done
	i.mu.Unlock()
	c := *r
	c.Payload = slices.Clone(r.Payload)
	answer := func(a rpc.Response) {
		i.mu.Lock()
		done, ok := i.pending[n]
		delete(i.pending, n)
		i.mu.Unlock()
		if ok {
			done(a)
		}
	}
	go i.handle(&c, answer)
	return true
}

func (i *instance) log() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.got)
}

func (i *instance) count(what string) (n int) {
	for _, got := range i.log() {
		if got == what {
			n++
		}
	}
	return n
}

// serve handles the messages of the tests.
func (i *instance) serve(r *rpc.Request, done func(rpc.Response)) {
	switch r.Message {
	case "PlayerLoginRequest":
		var m testpb.PlayerLoginRequest
		read(r, &m)
		if m.Password == "wrong" {
			done(rpc.Response{Err: rpc.Errorf(rpc.PermissionDenied, "banned")})
			return
		}
		done(write(r, &testpb.PlayerLoginResponse{PlayerId: m.PlayerId, Result: true}))
	case "CreateRoleRequest":
		var m testpb.CreateRoleRequest
		read(r, &m)
		done(write(r, &testpb.CreateRoleResponse{PlayerId: r.Player, RoleId: m.RoleId, Result: true}))
	case "SpeakOnWorldRequest":
		var m testpb.SpeakOnWorldRequest
		read(r, &m)
		done(write(r, &testpb.SpeakOnWorldResponse{SpeakId: r.Player, Name: m.Name, Content: m.Content}))
	case "EchoRequest":
		var m testpb.EchoRequest
		read(r, &m)
		switch m.Text {
		case "silence":
			return // until the link fails it
		case "broken":
			done(rpc.Response{Err: rpc.Errorf(rpc.NotFound, "there is no %s", m.Text)})
			return
		}
		done(write(r, &testpb.EchoResponse{Text: m.Text, Instance: i.id, Player: r.Player}))
	case "NewsRequest":
		done(write(r, &testpb.NewsResponse{Text: "all is well"}))
	default:
		done(rpc.Response{})
	}
}

// store implements gateway.Bindings in memory.
type store struct {
	mu     sync.Mutex
	values map[string]stored
	next   uint64
	writes int
}

type stored struct {
	value    []byte
	revision uint64
	life     time.Duration
}

func (s *store) Get(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.values[key]
	return v.value, v.revision, nil
}

func (s *store) PutFor(_ context.Context, key string, value []byte, revision uint64, life time.Duration) (uint64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values[key].revision != revision {
		return 0, false, nil
	}
	s.next++
	s.writes++
	s.values[key] = stored{slices.Clone(value), s.next, life}
	return s.next, true, nil
}

// expire removes a player's record as if its life had ended, and returns that life.
func (s *store) expire(player string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := gateway.RecordKey(player)
	life := s.values[key].life
	delete(s.values, key)
	return life
}

func (s *store) Keys(_ context.Context, prefix string) (keys []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// front is a gateway with its server.
type front struct {
	*gateway.Gateway
	server *netcode.Door
	bus    *bus
}

// front opens a gateway of the cluster; change may be nil.
func (c *cluster) front(id string, change func(*gateway.Config, *netcode.Config)) *front {
	c.t.Helper()
	b := &bus{c: c, players: map[string]int{}}
	gc := gateway.Config{
		ID: id, Directory: directory{&c.routes, c}, Link: b, Bindings: c.store, Authenticator: gateway.TrustField("player_id"),
		Limits: gateway.Limits{Grace: 300 * time.Millisecond}, Logger: slog.New(slog.DiscardHandler),
	}
	nc := netcode.Config{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Logger: gc.Logger}
	if change != nil {
		change(&gc, &nc)
	}
	g, err := gateway.New(gc)
	if err != nil {
		c.t.Fatal(err)
	}
	b.gateway = g
	nc.Gateway = g
	s, err := netcode.Listen(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.buses = append(c.buses, b)
	c.mu.Unlock()
	c.t.Cleanup(func() {
		s.Close()
		g.Close()
	})
	return &front{g, s, b}
}

func read(r *rpc.Request, m proto.Message) { unmarshal(r.Format, r.Payload, m) }

// eventually waits until ok, for at most 20 s.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// must fails the test unless got equals want.
func must[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}
