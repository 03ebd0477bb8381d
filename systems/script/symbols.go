package script

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// symbol is something at the top level of a module: a function, a variable, a loaded name, or all the statements that
// bind no name.
type symbol struct {
	text     []string // its text, without comments and layout
	function bool
	uses     []string // "module:name" of other symbols
}

// anonymous is the name of the statements that bind no name. Everything that reads a variable depends on them.
const anonymous = "<statements>"

// prints returns a fingerprint of each function in the set, over its text and everything it can reach.
func (l *loader) prints() map[string]string {
	symbols := map[string]*symbol{}
	for _, u := range l.order {
		u.symbols(symbols)
	}
	prints := map[string]string{}
	for _, key := range sortedKeys(symbols) {
		if symbols[key].function {
			prints[key] = fingerprint(symbols, key)
		}
	}
	return prints
}

// fingerprint returns a hash over the texts of everything that key reaches.
func fingerprint(symbols map[string]*symbol, key string) string {
	reached := map[string]bool{key: true}
	for todo := []string{key}; len(todo) > 0; {
		s := symbols[todo[0]]
		todo = todo[1:]
		for _, use := range s.uses {
			if symbols[use] != nil && !reached[use] {
				reached[use] = true
				todo = append(todo, use)
			}
		}
	}
	var b strings.Builder
	for _, k := range sortedKeys(reached) {
		fmt.Fprintf(&b, "%q %q\n", k, symbols[k].text)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(b.String())))
}

// symbols adds the module's symbols to all.
func (u *unit) symbols(all map[string]*symbol) {
	key := func(name string) string { return u.Name + ":" + name }
	at := func(name string) *symbol {
		s := all[key(name)]
		if s == nil {
			s = &symbol{}
			all[key(name)] = s
		}
		return s
	}
	for _, stmt := range u.file.Stmts {
		var names []string
		text, ids := canonical(stmt)
		switch stmt := stmt.(type) {
		case *syntax.LoadStmt:
			for i := range stmt.From {
				s := at(stmt.To[i].Name)
				s.uses = append(s.uses, stmt.ModuleName()+":"+stmt.From[i].Name)
			}
			continue
		case *syntax.DefStmt:
			at(stmt.Name.Name).function = true
			names = []string{stmt.Name.Name}
		case *syntax.AssignStmt:
			if id, ok := stmt.LHS.(*syntax.Ident); ok {
				names = []string{id.Name}
			}
		}
		if names == nil {
			names = append(sortedKeys(bound(&syntax.File{Stmts: []syntax.Stmt{stmt}})), anonymous)
		}
		for _, name := range names {
			s := at(name)
			s.text = append(s.text, text)
			if !s.function {
				s.uses = append(s.uses, key(anonymous))
			}
			for _, id := range ids {
				s.uses = append(s.uses, key(id))
			}
		}
	}
}

// canonical returns a statement without comments and layout, and the names it contains.
func canonical(stmt syntax.Stmt) (text string, ids []string) {
	var b strings.Builder
	var ends []string // closing text of the nodes around the walk's position
	syntax.Walk(stmt, func(n syntax.Node) bool {
		if n == nil {
			b.WriteString(ends[len(ends)-1])
			ends = ends[:len(ends)-1]
			return true
		}
		if _, ok := n.(*syntax.ParenExpr); ok {
			ends = append(ends, "") // the tree already shows the grouping
			return true
		}
		ends = append(ends, ")")
		fmt.Fprintf(&b, "(%T", n)
		switch n := n.(type) {
		case *syntax.Ident:
			fmt.Fprintf(&b, " %s", n.Name)
			ids = append(ids, n.Name)
		case *syntax.Literal:
			fmt.Fprintf(&b, " %s %q", n.Token, fmt.Sprint(n.Value))
		case *syntax.BinaryExpr:
			fmt.Fprintf(&b, " %s", n.Op)
		case *syntax.UnaryExpr:
			fmt.Fprintf(&b, " %s", n.Op)
		case *syntax.AssignStmt:
			fmt.Fprintf(&b, " %s", n.Op)
		case *syntax.BranchStmt:
			fmt.Fprintf(&b, " %s", n.Token)
		case *syntax.Comprehension:
			fmt.Fprintf(&b, " %v", n.Curly)
		case *syntax.SliceExpr:
			fmt.Fprintf(&b, " %v %v %v", n.Lo != nil, n.Hi != nil, n.Step != nil)
		case *syntax.IfStmt:
			fmt.Fprintf(&b, " %d", len(n.True))
		case *syntax.DefStmt:
			fmt.Fprintf(&b, " %d", len(n.Params))
		}
		return true
	})
	slices.Sort(ids)
	return b.String(), slices.Compact(ids)
}
