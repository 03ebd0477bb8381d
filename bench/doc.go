// Package bench measures Wind beside what it is made of, in the same run on the same machine: the bare loop over two
// slices, arche's loop, Wind's loops, a whole tick; a log append beside a bare fenced JetStream publish.
//
// Absolute times move with the machine and with its other tenants, so each figure that is judged is a ratio: the
// loops run in turns, round by round, and of each the fastest round counts, in which the least came between. The median
// of the rounds' ratios stands beside it. Tick and Log are what the
// verbs `wind bench tick` and `wind bench log` print; `go test -bench . ./bench` runs the same scenes as Go benchmarks,
// for benchstat.
package bench
