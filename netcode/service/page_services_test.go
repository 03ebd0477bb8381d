package service_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
	"github.com/ferris1/wind/systems/script"
)

// TestTheExampleOfThePageOnServicesWorks runs the handlers of SERVICES.md on its messages.
func TestTheExampleOfThePageOnServicesWorks(t *testing.T) {
	page, err := os.ReadFile("SERVICES.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		code := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(string(page))
		if code == nil {
			t.Fatalf("the page has no %s", language)
		}
		return code[1]
	}
	handlers := script.Module{Name: "handlers_client/bank.star", Source: []byte(block("python"))}
	synctest.Test(t, func(t *testing.T) {
		s := servicetest.Start(t, service.Config{
			Type: "bank", Files: []protoreflect.FileDescriptor{compile(t, block("proto"))}, Login: []string{"LoginRequest"},
			Scripts: []script.Module{handlers}, Store: rpc.NewMemoryStore(),
		})
		ann := s.Session()
		if a, err := ann.AskJSON("LoginRequest", `{"player_id": "ann"}`); err != nil || !strings.Contains(a, "true") || ann.Name() != "ann" {
			t.Errorf("login: %s, %v, as %q", a, err, ann.Name())
		}
		for _, want := range []string{`"5"`, `"10"`} {
			if a, err := ann.AskJSON("DepositRequest", `{"gold": 5}`); err != nil || !strings.Contains(a, want) {
				t.Errorf("deposit: %s, %v, want %s", a, err, want)
			}
		}
		if _, err := ann.AskJSON("DepositRequest", `{"gold": -5}`); err == nil || !strings.Contains(err.Error(), "a deposit is at least 1") {
			t.Errorf("a negative deposit: %v", err)
		}
		for _, much := range []string{`{"gold": "9223372036854775807"}`, `{"gold": "999999999991"}`} {
			if _, err := ann.AskJSON("DepositRequest", much); err == nil || !strings.Contains(err.Error(), "an account has at most") || rpc.ErrorOf(err).Maybe {
				t.Errorf("a deposit of %s: %v", much, err)
			}
		}
		if a, err := ann.AskJSON("DepositRequest", `{"gold": 5}`); err != nil || !strings.Contains(a, `"15"`) {
			t.Errorf("afterwards: %s, %v", a, err)
		}
	})
}
