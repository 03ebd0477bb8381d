package gen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/reporter"

	"github.com/ferris1/wind/netcode/wirepb"
)

// maxProtoBytes is the size of the largest .proto file that gen reads.
const maxProtoBytes = 4 << 20

// Source lists what to read.
type Source struct {
	Protos  []string // .proto files, as paths on this machine
	Include []string // folders to search for imports; empty: the current one
	Server  []string // names of messages that are the server's, besides those recognised by their names
}

// wirePath is the file that a game's schema imports for the option (wind.id). It comes from this binary.
const wirePath = "wirepb/wire.proto"

// compiled is the schema as protocompile returns it.
type compiled struct {
	files linker.Files      // the requested files, in order
	paths map[string]string // of imports on this machine, by their names
}

// compile parses and links the files. It returns problems with them as a *Problems.
func compile(ctx context.Context, s Source) (*compiled, error) {
	if len(s.Protos) == 0 {
		return nil, errors.New("gen: no .proto file is given")
	}
	include := s.Include
	if len(include) == 0 {
		include = []string{"."}
	}
	c := &compiled{paths: map[string]string{}}
	var names []string
	for _, path := range s.Protos {
		name, dir, err := importName(path, include)
		if err != nil {
			return nil, err
		}
		if dir != "" {
			include = append(slices.Clip(include), dir)
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("gen: %s is given twice", path)
		}
		names = append(names, name)
	}
	problems := &Problems{}
	tell := func(err reporter.ErrorWithPos) {
		at := err.GetPosition()
		problems.add(Problem{c.path(at.Filename), at.Line, at.Col, err.Unwrap().Error()})
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(c.resolver(include)),
		MaxParallelism: 1,
		SourceInfoMode: protocompile.SourceInfoStandard,
		Reporter: reporter.NewReporter(func(err reporter.ErrorWithPos) error {
			tell(err)
			return nil
		}, nil),
	}
	files, err := compiler.Compile(ctx, names...)
	if at := reporter.ErrorWithPos(nil); len(problems.List) == 0 && errors.As(err, &at) {
		tell(at) // protocompile only returns a missing import, and does not report it
	}
	switch {
	case len(problems.List) > 0:
		return nil, problems.err()
	case err != nil:
		return nil, fmt.Errorf("gen: %w", err)
	}
	c.files = files
	return c, nil
}

// importName returns the name by which other files import a file: its path below the first folder that contains it. If
// no folder does, dir is the file's own folder.
func importName(path string, include []string) (name, dir string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", fmt.Errorf("gen: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", "", fmt.Errorf("gen: %s is not a file", path)
	}
	for _, in := range include {
		rel, err := relative(in, path)
		if err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel), "", nil
		}
	}
	return filepath.Base(path), filepath.Dir(path), nil
}

func relative(dir, path string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.Rel(dir, path)
}

// resolver finds wire.proto in this binary and everything else in the folders, searched in order.
func (c *compiled) resolver(include []string) protocompile.Resolver {
	return protocompile.ResolverFunc(func(name string) (protocompile.SearchResult, error) {
		if name == wirePath {
			return protocompile.SearchResult{Desc: wirepb.File_wirepb_wire_proto}, nil
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return protocompile.SearchResult{}, fmt.Errorf("%q leads out of the import folders", name)
		}
		for _, dir := range include {
			path := filepath.Join(dir, filepath.FromSlash(name))
			source, err := readProto(path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return protocompile.SearchResult{}, err
			}
			c.paths[name] = path // files compile one at a time
			return protocompile.SearchResult{Source: bytes.NewReader(source)}, nil
		}
		return protocompile.SearchResult{}, fmt.Errorf("%s is not in any of the import folders: %s", name, strings.Join(include, ", "))
	})
}

func readProto(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProtoBytes+1))
	if err == nil && len(b) > maxProtoBytes {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxProtoBytes)
	}
	return b, err
}

// path returns where an import was read from.
func (c *compiled) path(name string) string {
	if p, ok := c.paths[name]; ok {
		return filepath.ToSlash(p)
	}
	return name
}
