// Package bench compares Wind with the parts it is built on, in one run on one machine: a bare loop over two
// slices, arche's loop, Wind's loops and a whole tick; a log append beside a bare fenced JetStream publish.
//
// Absolute times vary with the machine and its other tenants, so every judged figure is a ratio. The loops take
// turns, round by round. Each loop's fastest round counts, because it was disturbed least; the median
// of the rounds' ratios is reported beside it. The verbs `wind bench tick` and `wind bench log` print the results
// of Tick and Log; `go test -bench . ./bench` runs the same scenes as Go benchmarks, for benchstat.
package bench
