package ecs

import (
	"fmt"
	"reflect"
	"runtime" //windvet:allow it names a place for people, which is no part of a world
	"strings"
)

// placed is what a panic's value can have to say where it comes from itself: a script's error does.
type placed interface{ Place() string }

// placeOf says where a panic with this value was raised: the innermost function of the game in the stack of the call that
// contains it, with file and line, such as "arena.fire (arena/fire.go:42)". Where the game's code is not among the
// callers, as when a system of package systems is at fault, it is the innermost function outside of this package.
//
// Only a deferred function that has recovered the panic can call it: the stack below it is still there.
func placeOf(r any, fn reflect.Value) string {
	if p, ok := r.(placed); ok {
		return p.Place()
	}
	own := packageOf(runtime.FuncForPC(fn.Pointer()).Name())
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	fallback := ""
	for {
		f, more := frames.Next()
		switch pkg := packageOf(f.Function); {
		case f.Function == core+".(*World).try", f.Function == core+".(*handler).own": // what called them is the host's
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

// ofGame reports whether a package can be the game's: neither Wind's nor, by its path, the standard library's.
func ofGame(pkg, own string) bool {
	if pkg == core || strings.HasPrefix(pkg, core+"/") || pkg == house || strings.HasPrefix(pkg, house+"/") {
		return false
	}
	first, _, _ := strings.Cut(pkg, "/")
	ours, _, _ := strings.Cut(own, "/")
	return first == "main" || first == ours || strings.Contains(first, ".")
}

// packageOf is the path of the package of a function, as the runtime names it.
func packageOf(function string) string {
	function, _, _ = strings.Cut(function, "[") // a type argument may have dots and slashes
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + name
}

// inWords is a function without its package's path, its file with the folder, and the line.
func inWords(f runtime.Frame) string {
	function, _, _ := strings.Cut(f.Function, "[")
	function = function[strings.LastIndexByte(function, '/')+1:]
	file := f.File
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		file = file[strings.LastIndexByte(file[:i], '/')+1:]
	}
	return fmt.Sprintf("%s (%s:%d)", function, file, f.Line)
}
