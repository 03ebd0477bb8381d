package gen

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is an error at one place in a file.
type Problem struct {
	Path      string
	Line, Col int // from 1
	Text      string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d:%d: %s", p.Path, p.Line, p.Col, p.Text) }

// Problems lists everything wrong, in the order of files and lines.
type Problems struct{ List []Problem }

// maxProblems is how many of them an error lists.
const maxProblems = 20

func (p *Problems) Error() string {
	var lines []string
	for _, problem := range p.List[:min(len(p.List), maxProblems)] {
		lines = append(lines, problem.String())
	}
	if more := len(p.List) - maxProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(problem Problem) { p.List = append(p.List, problem) }

// err returns the problems in order, or nil without any.
func (p *Problems) err() error {
	if len(p.List) == 0 {
		return nil
	}
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		if n := strings.Compare(a.Path, b.Path); n != 0 {
			return n
		}
		return a.Line - b.Line
	})
	return p
}
