// Package script is Wind's Starlark host: it reads modules, compiles and runs them into a Set that never changes,
// replaces single modules of a Set, and calls the functions in it under a budget of steps. SCRIPTS.md is the page for
// those who write scripts.
//
//	read a folder of scripts            Read
//	compile it                          Load, Options
//	what a handler must look like       Rule
//	find functions                      Set.Functions
//	change it while it runs             Set.Replace, Report
//	call a function                     Call
//	why something failed                Error
//
// In a world of package ecs:
//
//	let a game have scripts             Register, System, Handle
//	what a new world begins with        Genesis
//	change them                         DryRun, Commands
//	what is in force                    InForce
//
// # Design
//
// A script can do nothing that the host has not given it: there is no file, no clock, no network and no randomness in
// Starlark, iteration is in the order of insertion, and the globals of a loaded module are frozen. So what a function
// does depends on its arguments and on the builtins of its host alone, and a Set may be used by any number of
// goroutines at once, each with a thread of its own.
//
// Recursion is off, as it is in Starlark's specification: it is what could overflow the stack of the process. Loops of
// any kind are on, since a budget of steps ends them. Memory is not bounded by a budget: scripts are the operator's own
// code, not a stranger's.
//
// Replace runs every module of the new set anew, so that none of it hangs on the old one, and compares functions by
// what they say and by what that leads to: a change in a library is a change in each function that reaches it.
//
// Scripts in force in a world are its state: entities with pieces of modules and a resource, written by commands. What is compiled
// is a cache of that, known by generation and hash. The loops of queries run in Go over the columns of tables, through ecs.Access,
// and are charged as steps, so that the budget bounds them too. Values that scripts get of the world live as long as the run:
// there is nowhere that a script could keep them.
package script
