// Package servicetest runs a game's services in its tests, without NATS, etcd and gateways. Everything else is real.
//
//	run a service           Start
//	act as a player         Service.Player, Service.Session; Client.Ask, Client.Send
//	act as another service  Service.As
//	fake other services     Bus.Serve of Service.Bus
//	fake a shard            Bus.Shard of Service.Bus
//	check pushes            Service.Pushes
//	change scripts          Service.Reload
package servicetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
)

// Patience is how long to wait for an answer.
const Patience = 30 * time.Second

// Service is a service under test.
type Service struct {
	*service.Service
	Bus *rpc.MemoryBus // nil if Config has another kind of bus

	t        testing.TB
	types    map[string]protoreflect.MessageType
	sessions atomic.Int64
}

// Start makes a service and closes it when the test ends. It fills in what Config leaves out: Type and ID with game and
// game-1, Bus and Store with new ones in memory. Others can call the service on its bus.
func Start(t testing.TB, c service.Config) *Service {
	t.Helper()
	if c.Type == "" {
		c.Type = "game"
	}
	if c.ID == "" {
		c.ID = c.Type + "-1"
	}
	if c.Store == nil {
		c.Store = rpc.NewMemoryStore()
	}
	if c.Bus == nil {
		c.Bus = rpc.NewMemoryBus()
	}
	made, err := service.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{Service: made, t: t, types: map[string]protoreflect.MessageType{}}
	for _, f := range c.Files {
		for i := range f.Messages().Len() {
			d := f.Messages().Get(i)
			s.types[string(d.Name())] = typeOf(d)
		}
	}
	var ok bool
	if s.Bus, ok = c.Bus.(*rpc.MemoryBus); ok {
		s.Bus.Serve(c.Type, c.ID, s.Handle)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func typeOf(d protoreflect.MessageDescriptor) protoreflect.MessageType {
	if typ, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName()); err == nil && typ.Descriptor() == d {
		return typ
	}
	return dynamicpb.NewMessageType(d)
}

// Client sends messages to a service: a player's client, or another service.
// Clients may be used concurrently.
type Client struct {
	s       *Service
	player  atomic.Pointer[string]
	session string
	from    string
}

// Session returns a client that is not logged in. A handler can log it in.
func (s *Service) Session() *Client {
	c := &Client{s: s, session: fmt.Sprintf("gateway-1/%d", s.sessions.Add(1))}
	c.player.Store(new(string))
	return c
}

// Player returns a client that is logged in as a player.
func (s *Service) Player(name string) *Client {
	c := s.Session()
	c.player.Store(&name)
	return c
}

// As returns a client that acts as another service, "<type>/<id>".
func (s *Service) As(service string) *Client {
	c := s.Session()
	c.session, c.from = "", service
	return c
}

// Name returns the player that is logged in, or "".
func (c *Client) Name() string { return *c.player.Load() }

// Ask sends a message and waits for the answer, which is nil if the handler has none. If the request fails, the error is
// an *rpc.Error.
func (c *Client) Ask(m proto.Message) (proto.Message, error) {
	c.s.t.Helper()
	payload, err := proto.Marshal(m)
	if err != nil {
		c.s.t.Fatal(err)
	}
	a := c.wait(&rpc.Request{Message: string(m.ProtoReflect().Descriptor().Name()), Payload: payload})
	if a.Err != nil {
		return nil, a.Err
	}
	return c.read(a)
}

// AskJSON sends a message as JSON, by its short name, and returns the answer's JSON, "" if the handler has none.
func (c *Client) AskJSON(message, json string) (string, error) {
	c.s.t.Helper()
	a := c.wait(&rpc.Request{Message: message, Format: rpc.JSON, Payload: []byte(json)})
	if a.Err != nil {
		return "", a.Err
	}
	return string(a.Payload), nil
}

// Send fills in r's sender, sends r and returns at once. done is called once.
func (c *Client) Send(r *rpc.Request, done func(rpc.Response)) {
	r.Player, r.Session, r.From = c.Name(), c.session, c.from
	if r.Timeout == 0 {
		r.Timeout = Patience
	}
	c.s.Handle(r, func(a rpc.Response) {
		if a.Err == nil && a.Player != "" {
			c.player.Store(&a.Player)
		}
		done(a)
	})
}

func (c *Client) wait(r *rpc.Request) rpc.Response {
	c.s.t.Helper()
	answer := make(chan rpc.Response, 1)
	c.Send(r, func(a rpc.Response) { answer <- a })
	select {
	case a := <-answer:
		return a
	case <-time.After(2 * Patience):
		c.s.t.Fatalf("%s was not answered", r.Message)
		return rpc.Response{}
	}
}

func (c *Client) read(a rpc.Response) (proto.Message, error) {
	if a.Message == "" {
		return nil, nil
	}
	return c.s.decode(a.Message, a.Format, a.Payload)
}

func (s *Service) decode(name string, format rpc.Format, payload []byte) (proto.Message, error) {
	typ := s.types[name]
	if typ == nil {
		return nil, fmt.Errorf("servicetest: there is no message %s", name)
	}
	m := typ.New().Interface()
	if format == rpc.JSON {
		return m, protojson.Unmarshal(payload, m)
	}
	return m, proto.Unmarshal(payload, m)
}

// Push is a message that the service has sent to a client. Player is "" for all players.
type Push struct {
	Player  string
	Message proto.Message
}

// Pushes returns the pushes so far, in order.
func (s *Service) Pushes() []Push {
	s.t.Helper()
	var all []Push
	for _, p := range s.Bus.Pushes() {
		m, err := s.decode(p.Message, p.Format, p.Payload)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, Push{p.Player, m})
	}
	return all
}

// Reload puts modules in force in place of those with the same names.
func (s *Service) Reload(modules ...script.Module) script.Report {
	s.t.Helper()
	report, err := s.Prepare("servicetest", modules)
	if err == nil {
		err = s.Commit("servicetest")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}
