package analyzer

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const (
	allowPrefix      = "//windvet:allow"
	directiveComment = "//wind:simulation"
)

// allowances collects the lines of a package that //windvet:allow excuses.
type allowances struct {
	lines     map[string]map[int]*allowance // file, line
	all       []*allowance
	directive bool // the package is marked //wind:simulation
}

type allowance struct {
	pos    token.Pos
	reason string
	used   bool
}

// collectAllowances reads the comments. One at a line's end excuses that line; one on a line of its own, the next line;
// one in a function's doc comment, the function.
func collectAllowances(pass *analysis.Pass, files []*ast.File) *allowances {
	a := &allowances{lines: map[string]map[int]*allowance{}}
	for _, f := range files {
		code := codeLines(pass.Fset, f)
		docs := map[*ast.CommentGroup]*ast.FuncDecl{}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Doc != nil {
				docs[fn.Doc] = fn
			}
		}
		for _, group := range f.Comments {
			fn := docs[group]
			if fn == nil && directive(group) {
				a.directive = true
			}
			for _, comment := range group.List {
				rest, ok := strings.CutPrefix(comment.Text, allowPrefix)
				if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
					continue
				}
				rest, _, _ = strings.Cut(rest, "// want") // analysistest's comments share the line
				al := &allowance{pos: comment.Pos(), reason: strings.TrimSpace(rest)}
				a.all = append(a.all, al)
				p := pass.Fset.Position(comment.Pos())
				first, last := p.Line, p.Line
				switch {
				case fn != nil:
					first, last = pass.Fset.Position(fn.Pos()).Line, pass.Fset.Position(fn.End()).Line
				case !code[p.Line]:
					last = pass.Fset.Position(group.End()).Line + 1
				}
				if a.lines[p.Filename] == nil {
					a.lines[p.Filename] = map[int]*allowance{}
				}
				for line := first; line <= last; line++ {
					a.lines[p.Filename][line] = al
				}
			}
		}
	}
	return a
}

// codeLines returns the lines on which something other than a comment begins or ends.
func codeLines(fset *token.FileSet, f *ast.File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.File:
			return n != nil
		case *ast.Comment, *ast.CommentGroup:
			return false
		}
		lines[fset.Position(n.Pos()).Line] = true
		lines[fset.Position(n.End()).Line] = true
		return true
	})
	return lines
}

// directive reports whether a comment group contains //wind:simulation.
func directive(g *ast.CommentGroup) bool {
	if g == nil {
		return false
	}
	for _, c := range g.List {
		if c.Text == directiveComment || strings.HasPrefix(c.Text, directiveComment+" ") {
			return true
		}
	}
	return false
}

func (a *allowances) excuses(fset *token.FileSet, pos token.Pos) bool {
	p := fset.Position(pos)
	al := a.lines[p.Filename][p.Line]
	if al == nil || al.reason == "" {
		return false
	}
	al.used = true
	return true
}

// report reports allowances without a reason and, if every function of the package is checked, those that excuse
// nothing.
func (a *allowances) report(pass *analysis.Pass, whole bool) {
	for _, al := range a.all {
		switch {
		case al.reason == "":
			pass.Report(analysis.Diagnostic{Pos: al.pos, Category: "allow", Message: "windvet:allow excuses nothing without a reason: write //windvet:allow and why"})
		case whole && !al.used:
			pass.Report(analysis.Diagnostic{Pos: al.pos, Category: "allow", Message: "windvet:allow excuses nothing here: remove it"})
		}
	}
}
