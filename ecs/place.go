package ecs

import (
	"fmt"
	"reflect"
	"runtime" //windvet:allow it names a place for people, outside the world's state
	"strings"
)

// placed is implemented by panic values that know where they come from, such as a script's error.
type placed interface{ Place() string }

// PanicPlace returns where the panic with value r, which fn or a function below it raised, comes from: the innermost function of
// the game in the call stack, with file and line, such as "arena.fire (arena/fire.go:42)". If no game code is on the stack, as
// when a system of package systems is at fault, it returns the innermost function outside this package.
//
// Call it only from a deferred function that has recovered the panic: the stack below is then still there.
func PanicPlace(r, fn any) string { return placeOf(r, reflect.ValueOf(fn)) }

func placeOf(r any, fn reflect.Value) string {
	if p, ok := r.(placed); ok {
		return p.Place()
	}
	own := packageOf(runtime.FuncForPC(fn.Pointer()).Name())
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	fallback, raised := "", false
	for {
		f, more := frames.Next()
		switch pkg := packageOf(f.Function); {
		case f.Function == "runtime.gopanic": // the functions above it recovered the panic
			raised = true
		case !raised:
		case f.Function == core+".(*World).try", f.Function == core+".(*handler).own", f.Function == core+".(*World).setup": // its callers are the host's
			return fallback
		case ofGame(pkg, own):
			return inWords(f)
		case fallback == "" && pkg != core && pkg != "runtime" && pkg != "reflect":
			fallback = inWords(f)
		}
		if !more {
			return fallback
		}
	}
}

var (
	core  = reflect.TypeFor[World]().PkgPath()
	house = strings.TrimSuffix(core, "ecs") + "systems"
)

// ofGame reports whether a package can be the game's: it is neither Wind's nor, judging by its path, the standard
// library's.
func ofGame(pkg, own string) bool {
	if pkg == core || strings.HasPrefix(pkg, core+"/") || pkg == house || strings.HasPrefix(pkg, house+"/") {
		return false
	}
	first, _, _ := strings.Cut(pkg, "/")
	ours, _, _ := strings.Cut(own, "/")
	return first == "main" || first == ours || strings.Contains(first, ".")
}

// packageOf returns the package path of a function, given the runtime's name for it.
func packageOf(function string) string {
	function, _, _ = strings.Cut(function, "[") // a type argument may have dots and slashes
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + name
}

// inWords returns a function without its package path, its file with one folder, and the line.
func inWords(f runtime.Frame) string {
	function, _, _ := strings.Cut(f.Function, "[")
	function = function[strings.LastIndexByte(function, '/')+1:]
	file := f.File
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		file = file[strings.LastIndexByte(file[:i], '/')+1:]
	}
	return fmt.Sprintf("%s (%s:%d)", function, file, f.Line)
}

// stackText returns the goroutine's stack, as in a Go trace.
func stackText() string {
	stack := make([]byte, 64<<10)
	return string(stack[:runtime.Stack(stack, false)])
}
