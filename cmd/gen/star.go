package gen

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// dialect is that of systems/script.
var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true}

// handlersFolders are where a service's handlers are found, for messages of players and of services.
var handlersFolders = map[bool]string{false: "handlers_client", true: "handlers_server"}

// star makes skeletons of Starlark handlers. What a module of either folder defines is not asked for again.
func (s *Schema) star(dir string) ([]Output, error) {
	defined := map[string]bool{}
	for _, folder := range handlersFolders {
		paths, err := filepath.Glob(filepath.Join(globEscape(dir), folder, "*.star"))
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			if err := starDefines(p, defined); err != nil {
				return nil, err
			}
		}
	}
	var outputs []Output
	for _, f := range s.files {
		for _, server := range []bool{false, true} {
			who := "players send"
			if server {
				who = "services send"
			}
			skeleton := skeleton{
				path:    path.Join(handlersFolders[server], f.base+".star"),
				head:    fmt.Sprintf("\"\"\"Handlers of the messages of %s.proto that %s.\"\"\"\n", f.base, who),
				handler: starHandler, defined: defined,
			}
			o, err := skeleton.output(dir, f.handled(server))
			if err != nil {
				return nil, err
			}
			outputs = append(outputs, o...)
		}
	}
	return outputs, nil
}

// globEscape makes a folder's name one that stands for itself in a pattern.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// starDefines enters the functions at the top level of a module.
func starDefines(path string, defined map[string]bool) error {
	f, err := dialect.Parse(path, nil, 0)
	if err != nil {
		return fmt.Errorf("%w: it has to be right before something can be added", err)
	}
	for _, stmt := range f.Stmts {
		if def, ok := stmt.(*syntax.DefStmt); ok {
			defined[def.Name.Name] = true
		}
	}
	return nil
}

// starHandler is the function for one message. It fails until somebody has written it.
func starHandler(m *message) string {
	c := &code{}
	c.line("def %s(%s, request):", m.handler(), m.sender())
	docString(c, m)
	if m.answer != nil {
		c.line("    # return %s", call(m.answer.desc))
	}
	c.line("    fail(\"%s is not written yet\")", m.handler())
	return c.String()
}

// sender is what the handler calls who sent the message.
func (m *message) sender() string {
	if m.server {
		return "caller"
	}
	return "client"
}

func (m *message) handler() string { return "Handler_" + m.name() }

// docString tells what a handler gets and what it answers.
func docString(c *code, m *message) {
	doc := slices.Clone(m.doc)
	if fields := describe(m.desc); len(fields) > 0 {
		doc = append(doc, "", "request:")
		for _, f := range fields {
			doc = append(doc, "    "+f)
		}
	}
	if m.answer == nil {
		doc = append(doc, "", "No answer.")
	} else {
		doc = append(doc, "", "Answer: "+m.answer.name()+inside(m.answer.desc, maxNested))
	}
	if doc[0] == "" {
		doc = doc[1:]
	}
	for i, line := range doc {
		line = strings.NewReplacer(`\`, `\\`, `"""`, `'''`).Replace(line)
		if strings.HasSuffix(line, `"`) {
			line += " "
		}
		if i == 0 {
			line = `"""` + line
		}
		if i == len(doc)-1 {
			line += `"""`
		}
		if line != "" {
			line = "    " + line
		}
		c.line("%s", line)
	}
}

// skeleton is a file that belongs to who fills it in.
type skeleton struct {
	path    string // below the output folder
	head    string // of a new file
	handler func(*message) string
	defined map[string]bool // functions that somebody has written
}

// output is the file with what it lacks at its end; none when nothing is handled.
func (s skeleton) output(dir string, messages []*message) ([]Output, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	have, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(s.path)))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	o := Output{Path: s.path}
	text := string(have)
	if text == "" {
		text = s.head
	}
	for _, m := range messages {
		if s.defined[m.handler()] {
			continue
		}
		o.Added = append(o.Added, m.handler())
		text = strings.TrimRight(text, "\n") + "\n\n" + s.handler(m)
	}
	if len(o.Added) == 0 {
		return nil, nil
	}
	o.Content = []byte(text)
	return []Output{o}, nil
}
