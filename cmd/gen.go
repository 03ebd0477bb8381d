package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/gen"
)

func (a *app) gen() *cobra.Command {
	var source gen.Source
	var out string
	var langs []string
	var check bool
	c := &cobra.Command{
		Use:   "gen",
		Short: "Write handlers, callers and tables of ids for the messages of .proto files",
		Long: `Reads .proto files (without protoc) and writes into --out, for a file speak.proto:

  go      speak_wind.go: interfaces of the handlers and typed callers, in the package of option go_package. The messages'
          structs still come from protoc-gen-go: --out is the folder of its speak.pb.go.
  star    handlers_client/speak.star and handlers_server/speak.star: a def Handler_<Message> for each message.
  python  speak_wind.py: ids, names, answers and fields. speak_handlers.py and speak_server_handlers.py: an async def
          Handler_<Message> for each message, with JSON as dictionaries.

Handlers in .star and .py files are skeletons that fail until you write them. gen never changes existing code there: it only
appends functions that no file of the kind has yet. It rewrites the other files as a whole.

Every message XRequest gets a handler, which answers with XResponse if that message exists. Only services, not players, may
send messages that begin with S_, messages of files with "server" in their path, and messages that --server names.
"wirepb/wire.proto", for option (wind.id), need not be in any folder.

Exits with 1 if a .proto file has an error, including an error in its ids: one that two messages share, one from 2001 to 2199,
one of 2^31 or more, or none for a player's Request or Response. With --check it writes nothing, and exits with 3 if a file
differs from what it would write.`,
		Example: "  wind gen --proto api/speak.proto --out scripts/game --lang star\n" +
			"  wind gen --proto api/speak.proto --out api --lang go --check",
	}
	c.Flags().StringArrayVar(&source.Protos, "proto", nil, "a .proto file; repeatable")
	c.Flags().StringArrayVarP(&source.Include, "include", "I", nil, "folder to search for imports; repeatable (default: the current one)")
	c.Flags().StringVar(&out, "out", "", "folder to write into")
	c.Flags().StringSliceVar(&langs, "lang", nil, "languages, comma-separated: go, star, python")
	c.Flags().StringSliceVar(&source.Server, "server", nil, "messages that only services may send, comma-separated")
	c.Flags().BoolVar(&check, "check", false, "write nothing; exit with 3 if a file differs from what would be written")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		wanted, err := genLangs(langs)
		switch {
		case len(source.Protos) == 0:
			return usagef("gen: --proto is needed: name the .proto file of the messages")
		case out == "":
			return usagef("gen: --out is needed: name the folder to write into")
		case err != nil:
			return err
		}
		schema, err := gen.Load(ctx, source)
		if err != nil {
			return err
		}
		outputs, err := schema.Generate(out, wanted...)
		if err != nil {
			return err
		}
		return a.writeGenerated(out, outputs, check)
	})
	return c
}

func genLangs(names []string) (langs []gen.Lang, err error) {
	if len(names) == 0 {
		return nil, usagef("gen: --lang is needed: give go, star or python, or several of them, comma-separated")
	}
	for _, name := range names {
		lang := gen.Lang(strings.TrimSpace(name))
		if !slices.Contains(gen.Langs, lang) {
			return nil, usagef("gen: --lang %q is not go, star or python", name)
		}
		if !slices.Contains(langs, lang) {
			langs = append(langs, lang)
		}
	}
	return langs, nil
}

// generated is gen's result for one file that was out of date.
type generated struct {
	Path  string   `json:"path"`
	Added []string `json:"added,omitempty"` // handlers that were added to a skeleton, or are missing in it
}

func (a *app) writeGenerated(out string, outputs []gen.Output, check bool) error {
	write, verb := gen.Write, "wrote"
	if check {
		write, verb = gen.Stale, "stale"
	}
	stale, err := write(out, outputs)
	if err != nil {
		return err
	}
	files := make([]generated, 0, len(stale))
	var lines []string
	for _, o := range stale {
		files = append(files, generated{o.Path, o.Added})
		line := verb + " " + o.Path
		if len(o.Added) > 0 {
			line += ": " + strings.Join(o.Added, ", ")
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = []string{"everything is up to date"}
	}
	if err := a.print(map[string]any{"out": out, "check": check, "files": files}, lines...); err != nil {
		return err
	}
	if check && len(stale) > 0 {
		return checkError{errors.New("gen: " + fmt.Sprintf("%d of the files in %s are out of date: run the same command without --check", len(stale), out))}
	}
	return nil
}
