package inout

import (
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "leak", leak) }

func leak(t *ecs.Tick) {
	os.Getenv("X")         // want `os.Getenv is I/O: do it in the host and bring the result in as a command`
	net.Dial("", "")       // want `net.Dial is I/O`
	var _ fs.FS            // want `fs.FS is I/O`
	log.Print("x")         // want `log.Print is for the host, not for the simulation: emit an event or send to the outbox`
	runtime.NumGoroutine() // want `runtime.NumGoroutine depends on the process`
	fmt.Println("x")       // want `fmt.Println prints to the process's output`
	_ = fmt.Sprintf("%d", 3)
	filepath.Glob("*") // want `filepath.Glob reads the file system`
	_ = filepath.Join("a", "b")
}
