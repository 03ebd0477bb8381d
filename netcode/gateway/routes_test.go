package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/rpc"
)

// TestAMessageStaysWithTheServiceThatHadItFirst: a service that comes later with the same message, or with its id, takes
// nobody's requests, and the conflict is told.
func TestAMessageStaysWithTheServiceThatHadItFirst(t *testing.T) {
	var r gateway.Routes
	start := time.Unix(1000, 0)
	forge := []rpc.Method{{Name: "ForgeRequest", ID: 4003}, {Name: "LoginRequest", ID: 4001, Login: true}}
	goesTo := func(when, want string) {
		t.Helper()
		byID, _ := r.Route(4003)
		byName, _ := r.RouteName("LoginRequest")
		if got := fmt.Sprint(byID.Type, " ", byID.Method.Name, ", ", byName.Type); got != want {
			t.Errorf("%s, the requests go to %s, want %s", when, got, want)
		}
	}
	r.Set("forge", "forge-1", start.Add(time.Second), forge)
	r.Set("forge", "forge-2", start.Add(time.Minute), forge)
	if c := r.Conflicts(); len(c) != 0 {
		t.Errorf("two instances of one type are in conflict: %v", c)
	}
	r.Set("anvil", "anvil-1", start.Add(2*time.Second), []rpc.Method{{Name: "DropRequest", ID: 4003}, {Name: "LoginRequest", ID: 4001}})
	goesTo("once another service has them, too", "forge ForgeRequest, forge")
	want := []string{
		"ForgeRequest of service forge and DropRequest of service anvil both have the id 4003, and forge gets the requests",
		"services forge and anvil both handle LoginRequest, and forge gets the requests",
	}
	if got := fmt.Sprint(r.Conflicts()); got != fmt.Sprint(want) {
		t.Errorf("the conflicts are %v, want %v", got, want)
	}
	r.Drop("forge", "forge-1")
	r.Drop("forge", "forge-2")
	goesTo("without an instance of the first", "anvil DropRequest, anvil")
	if c := r.Conflicts(); len(c) != 0 {
		t.Errorf("with one type left, %v", c)
	}
	r.Set("forge", "forge-2", start.Add(time.Hour), forge)
	goesTo("once the first is back", "forge ForgeRequest, forge")
	r.Drop("anvil", "anvil-1")
	if c := r.Conflicts(); len(c) != 0 {
		t.Errorf("after the other has left, %v", c)
	}

	var later gateway.Routes // of a gateway that starts now and learns of them in another order
	later.Set("anvil", "anvil-1", start.Add(2*time.Second), []rpc.Method{{Name: "LoginRequest", ID: 4001}})
	later.Set("forge", "forge-1", start.Add(time.Second), forge)
	if got, _ := later.Route(4001); got.Type != "forge" {
		t.Errorf("another gateway sends the message to %s", got.Type)
	}
}
