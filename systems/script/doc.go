// Package script is Wind's Starlark host. It reads modules, compiles and runs them into an immutable Set, replaces
// single modules of a Set, and calls functions under a budget of steps. SCRIPTS.md is the page for script authors.
//
//	read a folder of scripts            Read
//	compile it                          Load, Options
//	constrain handlers                  Rule
//	find functions                      Set.Functions
//	change it while it runs             Set.Replace, Report
//	call a function                     Call
//	learn why something failed          Error
//
// In a world of package ecs:
//
//	give a game scripts                 Register, System, Handle
//	start a new world with scripts      Genesis
//	change them                         DryRun, Commands
//	see what is in force                InForce
//
// # Design
//
// A script can do only what its host provides: Starlark has no files, clock, network or randomness, iteration follows
// the order of insertion, and the globals of a loaded module are frozen. So a function's behaviour depends only on its
// arguments and on its host's builtins, and any number of goroutines may use a Set at once, each with its own thread.
//
// Recursion is off, as Starlark specifies, because it could overflow the process's stack. Loops of any kind are on: a
// budget of steps ends them. Large values cost steps too, so the budget also bounds memory; scripts are still the
// operator's own code, not a stranger's.
//
// Replace runs every module of the new set again, so the new set shares nothing with the old one. It compares functions
// by their text and by everything they use: a change in a library is a change in each function that reaches it.
//
// The scripts in force in a world are part of its state: entities that contain pieces of modules, and a resource, all
// written by commands. The compiled code is a cache of that state, keyed by generation and hash. Query loops run in Go
// over the columns of tables, through ecs.Access, and are charged as steps, so the budget bounds them too. Values that
// scripts get from the world live as long as the run, because a script has no place to keep them.
package script
