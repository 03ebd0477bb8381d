//go:build unix

package main

import "syscall"

// freeze stops a process in its tracks, as a machine that hangs does; thaw has it go on.
func (p *process) freeze() { p.signal(syscall.SIGSTOP) }
func (p *process) thaw()   { p.signal(syscall.SIGCONT) }
