// Package scripts has the arena's services, and the scripts in which they are written: a folder for each type. A shard of the
// arena does without them.
package scripts

import (
	"embed"
	"io/fs"
	"path/filepath"
	"runtime"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/arena/lobbypb"
	"github.com/ferris1/wind/cmd/node"
)

// Lobby is the type of the service that brings players together.
const Lobby = "lobby"

// Services are the arena's service types.
var Services = []node.Service{{
	Type:  Lobby,
	Files: []protoreflect.FileDescriptor{lobbypb.File_lobbypb_lobby_proto},
	Login: []string{"LobbyLoginRequest"},
}}

//go:embed lobby
var files embed.FS

// FS returns the scripts, as they were when the binary was built.
func FS() fs.FS { return files }

// Dir returns the scripts' folder on the machine that built the binary. On others it does not exist.
func Dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}
