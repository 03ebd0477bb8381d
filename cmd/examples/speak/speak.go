// Package speak is a small game with a service and a shard, and the example of how to write services on Wind: players
// log in, create a role and talk to everyone. It uses the messages of ferris1/wind, so that project's Python and Unity
// clients connect unchanged.
//
//	speakpb/              the messages, with their ids
//	scripts/game/         the handlers of the service "game", in Starlark, reloadable while it runs
//	scripts/shard/        the systems of the square, also in Starlark
//	square.go             the square: the world of the game's shard
//
// Try it:
//
//	wind dev --game speak --tcp 127.0.0.1:50100
//
// Connect clients there, edit and save a handler, and see the next answer change.
package speak

import (
	"embed"
	"io/fs"
	"path/filepath"
	"runtime"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/cmd/node"
)

// Services are the game's service types.
var Services = []node.Service{{
	Type:  "game",
	Files: []protoreflect.FileDescriptor{speakpb.File_speakpb_speak_proto},
	Login: []string{"PlayerLoginRequest"},
}}

//go:embed scripts
var scripts embed.FS

// Scripts returns the game's scripts: a folder for each service type, and one for the shard.
func Scripts() fs.FS { //windvet:allow the files are in the binary
	sub, err := fs.Sub(scripts, "scripts") //windvet:allow the files are in the binary
	if err != nil {
		panic(err) // it is embedded above
	}
	return sub
}

// ScriptDir returns the scripts' folder on the machine that built the binary; elsewhere it does not exist.
func ScriptDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "scripts")
}
