package arena

import (
	"embed"
	"io/fs"
	"path/filepath"
	"runtime"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/arena/lobbypb"
	"github.com/ferris1/wind/cmd/node"
)

// LobbyType is the type of the service that brings players together.
const LobbyType = "lobby"

// Services are the game's service types. Its shards do without them.
var Services = []node.Service{{
	Type:  LobbyType,
	Files: []protoreflect.FileDescriptor{lobbypb.File_lobbypb_lobby_proto},
	Login: []string{"LobbyLoginRequest"},
}}

//go:embed scripts
var scripts embed.FS

// Scripts returns the services' scripts: a folder for each type.
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
