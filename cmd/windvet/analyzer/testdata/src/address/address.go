package address

import (
	"unsafe"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "name", name) }

func name(t *ecs.Tick) {
	_ = uint64(uintptr(unsafe.Pointer(t))) % 16 // want `an address differs from run to run: use an entity or an index to name things`
	_ = unsafe.Pointer(uintptr(unsafe.Pointer(t)) + 8)
}
