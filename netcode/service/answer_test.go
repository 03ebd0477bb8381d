package service_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

type wrongAnswer struct{}

func (wrongAnswer) CodeGeneratorRequest(*service.Ctx, *pluginpb.CodeGeneratorRequest) (*pluginpb.Version, error) {
	return &pluginpb.Version{}, nil
}

type foreignAnswer struct{}

func (foreignAnswer) Version(*service.Ctx, *pluginpb.Version) (*pluginpb.CodeGeneratorResponse, error) {
	return &pluginpb.CodeGeneratorResponse{}, nil
}

// TestAnAnswerOfAnotherMessageIsRefused: at start in Go, where the method's signature tells; in a script when it answers.
func TestAnAnswerOfAnotherMessageIsRefused(t *testing.T) {
	for want, value := range map[string]any{
		"service_test.wrongAnswer.CodeGeneratorRequest: it answers CodeGeneratorRequest with Version, want CodeGeneratorResponse":        wrongAnswer{},
		"service_test.foreignAnswer.Version: it answers Version with CodeGeneratorResponse, which is the answer of CodeGeneratorRequest": foreignAnswer{},
	} {
		_, err := service.New(service.Config{Type: "game", ID: "game-1", Files: []protoreflect.FileDescriptor{pluginpb.File_google_protobuf_compiler_plugin_proto}, Client: []any{value}})
		wantError(t, err, want)
	}

	log := &captured{}
	s := newShop(t, service.Config{Scripts: client(`
def Handler_TradeRequest(client, request):
    return LoginResponse(player = "ann")

def Handler_LoginRequest(client, request):
    return TradeRequest()
`), Logger: log.logger()})
	_, err := s.Player("ann").Ask(s.message(t, "TradeRequest", "{}"))
	if e := rpc.ErrorOf(err); e == nil || e.Code != rpc.Internal || !e.Maybe {
		t.Errorf("the client gets %v", err)
	}
	wantLine(t, log, "handlers_client/a.star:2:1: Handler_TradeRequest: it answers TradeRequest with LoginResponse, want TradeResponse")
	if _, err := s.Session().Ask(s.message(t, "LoginRequest", "{}")); err == nil {
		t.Error("a request is an answer")
	}
	wantLine(t, log, "it answers LoginRequest with TradeRequest, want LoginResponse")
}

// TestACallsAnswerIsItsMessages: another service, in any language, may answer with what it likes; the caller is told.
func TestACallsAnswerIsItsMessages(t *testing.T) {
	log := &captured{}
	s := newShop(t, service.Config{Scripts: trader(`return call("forge", LoginRequest())`), Logger: log.logger()})
	payload, err := proto.Marshal(s.message(t, "TradeResponse", `{"text": "x"}`))
	if err != nil {
		t.Fatal(err)
	}
	s.Bus.Serve("forge", "forge-1", func(_ *rpc.Request, done func(rpc.Response)) {
		done(rpc.Response{Message: "TradeResponse", Payload: payload})
	})
	_, err = s.Player("ann").Ask(s.message(t, "TradeRequest", "{}"))
	wantError(t, err, "internal")
	wantLine(t, log, "the answer of forge: it answers LoginRequest with TradeResponse, want LoginResponse")
}

func wantLine(t testing.TB, log *captured, want string) {
	t.Helper()
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %q:\n%s", want, log.String())
	}
}
