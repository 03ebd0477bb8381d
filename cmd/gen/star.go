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

// dialect matches that of systems/script.
var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true}

// handlersFolders are the folders of a service's handlers: for messages from players (false) and from services (true).
var handlersFolders = map[bool]string{false: "handlers_client", true: "handlers_server"}

// star makes skeletons of Starlark handlers. It skips handlers that a module in either folder already defines.
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

// globEscape escapes a folder's name so that it matches only itself in a pattern.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// starDefines adds the functions at the top level of a module to defined.
func starDefines(path string, defined map[string]bool) error {
	f, err := dialect.Parse(path, nil, 0)
	if err != nil {
		return fmt.Errorf("%w: fix this before wind gen can add to the file", err)
	}
	for _, stmt := range f.Stmts {
		if def, ok := stmt.(*syntax.DefStmt); ok {
			defined[def.Name.Name] = true
		}
	}
	return nil
}

// starHandler returns the function for one message. It fails until somebody implements it.
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

// sender returns the handler's name for the parameter that is the sender.
func (m *message) sender() string {
	if m.server {
		return "caller"
	}
	return "client"
}

func (m *message) handler() string { return "Handler_" + m.name() }

// docString describes a handler's request and its answer.
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

// skeleton is a file that belongs to whoever fills it in.
type skeleton struct {
	path    string // below the output folder
	head    string // of a new file
	handler func(*message) string
	defined map[string]bool // functions that already exist
}

// output returns the file with the missing functions appended, or nothing if there are no messages to handle.
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
