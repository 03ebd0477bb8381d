//go:build race

package node

// slowdown is how many times more work a tick is under the race detector.
const slowdown = 20
