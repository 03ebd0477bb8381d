package jetstream

import "sync"

// places remembers where the messages of a lane in a partition are that were read lately. A message keeps its place, but its
// place may outlive it. Safe for concurrent use.
type places struct {
	mu    sync.Mutex
	spots [16]spot
	reads int
}

// saw remembers a message that was read.
func (p *places) saw(at spot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spots[p.reads%len(p.spots)] = at
	p.reads++
}

// around returns the nearest known spots: the last one that is not after a number, and the first one after it. One that is not
// known is zero. near is another spot, or zero.
func (p *places) around(num uint64, near spot) (below, above spot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	look := func(at spot) {
		switch {
		case at.num <= num && at.num >= below.num:
			below = at
		case at.num > num && (above.num == 0 || at.num < above.num):
			above = at
		}
	}
	for _, at := range p.spots {
		look(at)
	}
	look(near)
	return below, above
}
