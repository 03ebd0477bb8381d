package service_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
	"github.com/ferris1/wind/systems/script"
)

// TestTheExampleOfThePageOnScriptsWorks runs the example in the section "In a service" of SCRIPTS.md.
func TestTheExampleOfThePageOnScriptsWorks(t *testing.T) {
	page, err := os.ReadFile("../../systems/script/SCRIPTS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "## In a service")
	code := regexp.MustCompile("(?s)```python\n(.*?)```").FindStringSubmatch(section)
	if !found || code == nil {
		t.Fatal("the page has no section, or no example")
	}
	modules := []script.Module{{Name: "lib/prices.star", Source: []byte("def price_of(name):\n    return 5\n")}}
	heads := regexp.MustCompile(`(?m)^# (handlers_\w+/\w+\.star).*$`)
	names, bodies := heads.FindAllStringSubmatch(code[1], -1), heads.Split(code[1], -1)[1:]
	for i, name := range names {
		modules = append(modules, script.Module{Name: name[1], Source: []byte(bodies[i])})
	}
	file := compile(t, `syntax = "proto3"; package page;
		message Item { string name = 1; }
		message TradeRequest { Item item = 1; string seller = 2; }
		message TradeResponse { bool result = 1; }
		message SoldEvent { Item item = 1; }
		message PriceRequest { string name = 1; }
		message PriceResponse { int32 price = 1; }`)
	synctest.Test(t, func(t *testing.T) {
		store := rpc.NewMemoryStore()
		log := &captured{}
		s := servicetest.Start(t, service.Config{Files: []protoreflect.FileDescriptor{file}, Scripts: modules, Store: store, Logger: log.logger()})
		ann := s.Player("ann")
		_, err := ann.AskJSON("TradeRequest", `{"item": {"name": "axe"}}`)
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != rpc.FailedPrecondition || e.Text != "axe costs 5" {
			t.Errorf("without gold: %v", err)
		}
		if _, _, err := store.Put(t.Context(), "gold/ann", []byte("7"), 0); err != nil {
			t.Error(err)
		}
		if a, err := ann.AskJSON("TradeRequest", `{"item": {"name": "axe"}, "seller": "ben"}`); err != nil || !strings.Contains(a, "true") {
			t.Errorf("answer %s, %v", a, err)
		}
		if gold, _, _ := store.Get(t.Context(), "gold/ann"); string(gold) != "2" {
			t.Errorf("ann has %s gold", gold)
		}
		if p := s.Pushes(); len(p) != 1 || p[0].Player != "ben" {
			t.Errorf("pushes %v", p)
		}
		if a, err := s.As("chat/chat-1").AskJSON("PriceRequest", `{}`); err != nil || !strings.Contains(a, "5") {
			t.Errorf("answer %s, %v", a, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(log.String(), "msg=trades n=1") {
			t.Errorf("the log: %s", log)
		}
	})
}
