package bench

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/service"
)

// Echo returns a service that echoes the requests of logged-in players, in Go (SpeakOnWorldRequest) and in Starlark
// (CreateRoleRequest). EchoScripts has its script.
func Echo() node.Service {
	return node.Service{
		Type:     "echo",
		Handlers: func() (client, server []any) { return []any{echo{}}, nil },
		Files:    []protoreflect.FileDescriptor{speakpb.File_speakpb_speak_proto},
		Login:    []string{"PlayerLoginRequest"},
	}
}

//go:embed scripts
var scripts embed.FS

// EchoScripts returns the scripts of a game with the service Echo.
func EchoScripts() fs.FS {
	sub, err := fs.Sub(scripts, "scripts")
	if err != nil {
		panic(err) // the folder is in this binary
	}
	return sub
}

type echo struct{}

// PlayerLoginRequest accepts every player that the gateway admitted.
func (echo) PlayerLoginRequest(ctx *service.Ctx, request *speakpb.PlayerLoginRequest) (*speakpb.PlayerLoginResponse, error) {
	return &speakpb.PlayerLoginResponse{PlayerId: request.PlayerId, Result: true}, nil
}

// SpeakOnWorldRequest echoes the request's content.
func (echo) SpeakOnWorldRequest(_ *service.Ctx, request *speakpb.SpeakOnWorldRequest) (*speakpb.SpeakOnWorldResponse, error) {
	return &speakpb.SpeakOnWorldResponse{Content: request.Content}, nil
}

// EchoWire returns a Wire on which a player logs in and then sends requests of the given size, at least 4 bytes, to Echo.
func EchoWire(player, bytes int, script bool) Wire {
	text := strings.Repeat("x", max(0, bytes-2)) // after a tag and a length
	if len(text) > 127 {
		text = text[:len(text)-1] // the length has two bytes
	}
	var request proto.Message = &speakpb.SpeakOnWorldRequest{Content: text}
	if script {
		request = &speakpb.CreateRoleRequest{PlayerId: text}
	}
	return &WindWire{Login: &speakpb.PlayerLoginRequest{PlayerId: fmt.Sprintf("player-%d", player)}, Request: request}
}
