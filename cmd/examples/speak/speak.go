// Package speak is a small game around a shard, and the example of how services are written on Wind: players log in,
// create a role and talk to everyone, with the messages of ferris1/wind, whose Python and Unity clients connect unchanged.
//
//	speakpb/              the messages, with their ids
//	scripts/game/         the handlers of the service "game", in Starlark: they can be changed while it runs
//	scripts/shard/        what happens in the square, in Starlark too
//	square.go             the square: the world of the game's shard
//
// Try it:
//
//	wind dev --game speak --tcp 127.0.0.1:50100
//
// then let clients connect there, save a changed handler, and see the next answer change.
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

// Services are the types of service that the game has besides its shards.
var Services = []node.Service{{
	Type:  "game",
	Files: []protoreflect.FileDescriptor{speakpb.File_speakpb_speak_proto},
	Login: []string{"PlayerLoginRequest"},
}}

//go:embed scripts
var scripts embed.FS

// Scripts are the game's scripts: a folder for each service type, and one for the shard.
func Scripts() fs.FS { //windvet:allow the files are in the binary
	sub, err := fs.Sub(scripts, "scripts") //windvet:allow the files are in the binary
	if err != nil {
		panic(err) // it is embedded above
	}
	return sub
}

// ScriptDir is the folder of the scripts where the binary was built; on another machine it does not exist.
func ScriptDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "scripts")
}
