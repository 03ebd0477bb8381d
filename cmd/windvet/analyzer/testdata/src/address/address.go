package address

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) {
	ecs.System(w, "name", name)
	ecs.System(w, "printed", printed)
}

func name(t *ecs.Tick) {
	_ = uint64(uintptr(unsafe.Pointer(t))) % 16 // want `an address differs from run to run: name things by an entity or an index`
	_ = unsafe.Pointer(uintptr(unsafe.Pointer(t)) + 8)
}

type pair struct{ a, b *int }

type named struct{ p *int }

func (named) String() string { return "named" }

func printed(t *ecs.Tick) {
	n, p, f := 3, &pair{}, func() {}
	_ = fmt.Sprintf("%p", p)                   // want `%p prints an address, which differs from run to run`
	_ = fmt.Sprintf("tick %d at %#[2]p", n, p) // want `%p prints an address`
	_ = fmt.Errorf("%v", &n)                   // want `an argument of type \*int prints as an address`
	_ = fmt.Sprint(p)                          // want `an argument of type \*pair prints as an address`
	_ = fmt.Sprintf("%v", f)                   // want `an argument of type func\(\) prints as an address`
	_ = fmt.Sprintf("%x", &n)                  // want `an argument of type \*int prints as an address`
	_ = fmt.Sprintf("%d", unsafe.Pointer(t))   // want `an argument of type unsafe.Pointer prints as an address`
	_ = fmt.Sprintf("%v %T %+v", &struct{ n int }{1}, p, []int{n})
	_ = fmt.Sprintf("%v", named{&n})
	_ = fmt.Sprintf("%5.*f %%p", 2, 1.5)
	_ = fmt.Sprintf("%v", error(nil))
	var b strings.Builder
	fmt.Fprintf(&b, "%p", p) // want `%p prints an address`
	println(n)               // want `println prints to the process's output`
}
