package script

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/ferris1/wind/ecs"
)

// The scripts in force are part of a world's state: entities with 4 KiB of a module each, and one resource. So
// snapshots, deltas and checksums include them, and a replay runs the code that ran.

const (
	chunkBytes = 4096
	maxParts   = maxAllSource/chunkBytes + MaxModules // of one reload, in entities
	// MaxBudget is the largest budget of steps that a reload may set.
	MaxBudget = 1_000_000_000
	// DefaultBudget is the budget if Config does not set one: some ten milliseconds.
	DefaultBudget = 200_000
)

// chunk is the component wind.script, a piece of a module. The pieces of a reload in progress also have staged.
type chunk struct {
	Module ecs.Text64
	Index  uint16 // of the piece
	Of     uint16 // pieces of the module; 0 while staged: remove the module
	Len    uint16 // bytes of Data
	Data   [chunkBytes]uint8
}

// staged is the component wind.script.staged.
type staged struct{}

// inForce is the resource wind.scripts.
type inForce struct {
	Generation uint64 // reloads so far
	SHA        [32]uint8
	Budget     uint64 // steps of one run of a function
	Staging    uint64 // the reload whose parts are staged
}

// part is the command wind.script.part: a piece of a module in a reload.
type part struct {
	Reload uint64
	Piece  chunk
}

// Validate rejects a part that no reload sends.
func (p *part) Validate() error {
	if p.Reload == 0 {
		return errors.New("the reload has number 0")
	}
	return p.Piece.check()
}

func (p *chunk) check() error {
	switch {
	case p.Of == 0 && (p.Index != 0 || p.Len != 0):
		return errors.New("a removed module has a piece")
	case p.Of > 0 && p.Index >= p.Of, p.Of > MaxSource/chunkBytes, p.Len > chunkBytes:
		return fmt.Errorf("piece %d of %d has %d bytes", p.Index, p.Of, p.Len)
	}
	for _, b := range p.Data[p.Len:] {
		if b != 0 {
			return errors.New("bytes after the end of a piece")
		}
	}
	return checkName(p.Module.String())
}

// commit is the command wind.script.commit: it puts the staged modules in force, in place of those with the same names.
type commit struct {
	Reload uint64    // 0: no parts, only another budget
	SHA    [32]uint8 // of all modules in force after the commit
	Budget uint64
}

// Validate rejects a commit that no reload sends.
func (c *commit) Validate() error {
	if c.Budget == 0 || c.Budget > MaxBudget {
		return fmt.Errorf("a budget of %d steps is outside 1 to %d", c.Budget, MaxBudget)
	}
	return nil
}

// split makes the parts of a module.
func split(reload uint64, m Module) (parts []part) {
	c := chunk{Module: ecs.NewText64(m.Name)}
	if m.Source == nil {
		return []part{{reload, c}}
	}
	c.Of = uint16(max(1, (len(m.Source)+chunkBytes-1)/chunkBytes))
	for rest := m.Source; c.Index < c.Of; c.Index++ {
		c.Data = [chunkBytes]uint8{}
		c.Len = uint16(copy(c.Data[:], rest))
		rest = rest[c.Len:]
		parts = append(parts, part{reload, c})
	}
	return parts
}

// join assembles modules from chunks in any order, and sorts them by name. A removed module has no source. A missing
// piece is an error.
func join(chunks []*chunk) ([]Module, error) {
	pieces := map[string][]*chunk{}
	for _, c := range chunks {
		name := c.Module.String()
		pieces[name] = append(pieces[name], c)
	}
	var modules []Module
	for _, name := range sortedKeys(pieces) {
		list := pieces[name]
		slices.SortStableFunc(list, func(a, b *chunk) int { return int(a.Index) - int(b.Index) })
		m := Module{Name: name}
		for i, c := range list {
			if int(c.Index) != i || c.Of != list[0].Of {
				return nil, fmt.Errorf("%s: piece %d of %d is missing", name, i+1, c.Of)
			}
			m.Source = append(m.Source, c.Data[:min(int(c.Len), chunkBytes)]...)
		}
		if last := list[len(list)-1]; int(last.Of) > len(list) {
			return nil, fmt.Errorf("%s: piece %d of %d is missing", name, len(list)+1, last.Of)
		}
		if list[0].Of > 0 && m.Source == nil {
			m.Source = []byte{}
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// merge returns modules with changes replacing those of the same names; changes without source remove theirs.
func merge(modules, changes []Module) ([]Module, error) {
	merged := slices.Clone(modules)
	for _, m := range changes {
		i := slices.IndexFunc(merged, func(x Module) bool { return x.Name == m.Name })
		switch {
		case m.Source == nil && i < 0:
			return nil, fmt.Errorf("script: cannot remove module %s: it does not exist", m.Name)
		case m.Source == nil:
			merged = slices.Delete(merged, i, i+1)
		case i < 0:
			merged = append(merged, m)
		default:
			merged[i] = m
		}
	}
	return merged, nil
}

// sum returns SHA256 as bytes.
func sum(modules []Module) (b [32]uint8) {
	if _, err := hex.Decode(b[:], []byte(SHA256(modules))); err != nil {
		panic(err) // SHA256 returns hex
	}
	return b
}
