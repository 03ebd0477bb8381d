package service_test

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
)

// Greeter handles messages in Go. A game has its own messages; these are Protobuf's.
type Greeter struct{ greeted int } // no lock: handlers run one at a time

func (g *Greeter) StringValue(ctx *service.Ctx, name *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	if name.Value == "" {
		return nil, rpc.Errorf(rpc.InvalidArgument, "a name is needed")
	}
	g.greeted++
	return wrapperspb.String(fmt.Sprintf("hello %s, you are number %d", name.Value, g.greeted)), nil
}

func Example() {
	s, err := service.New(service.Config{
		Type: "game", ID: "game-1", Files: files,
		Client: []any{&Greeter{}},
		Scripts: []script.Module{{Name: "handlers_client/double.star", Source: []byte(`
def Handler_Int64Value(client, request):
    return Int64Value(value = 2 * request.value)
`)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(context.Background())

	ask := func(message, json string) {
		done := make(chan struct{})
		s.Handle(&rpc.Request{Message: message, Format: rpc.JSON, Payload: []byte(json), Player: "ann", Session: "gateway-1/7"}, func(a rpc.Response) {
			defer close(done)
			if a.Err != nil {
				fmt.Println(a.Err)
				return
			}
			fmt.Println(string(a.Payload))
		})
		<-done
	}
	ask("StringValue", protojson.Format(wrapperspb.String("Ann")))
	ask("StringValue", `""`)
	ask("Int64Value", `"21"`)
	ask("Int64Valu", `"21"`)
	// Output:
	// "hello Ann, you are number 1"
	// invalid argument: a name is needed
	// "42"
	// unimplemented: service game has no handler for Int64Valu (did you mean Int64Value?)
}
