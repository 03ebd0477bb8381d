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
		Long: `Reads .proto files (protoc is not needed) and writes into --out, for a file speak.proto:

  go      speak_wind.go: interfaces of the handlers and typed callers, in the package of option go_package. The structs of
          the messages come from protoc-gen-go, as ever: --out is the folder of its speak.pb.go.
  star    handlers_client/speak.star and handlers_server/speak.star: a def Handler_<Message> for each message.
  python  speak_wind.py: ids, names, answers and fields. speak_handlers.py and speak_server_handlers.py: an async def
          Handler_<Message> for each message, with JSON as dictionaries.

Handlers in .star and .py files are skeletons that fail until somebody writes them. Such a file only ever gets, at its end,
the functions that no file of the kind has; what is there stays. The other files are generated as a whole.

A message XRequest is handled, and answered with XResponse if there is one. Messages that players may not send, but services
do, are those that begin with S_, those of files with "server" in their path, and those that --server names.
"wirepb/wire.proto", for option (wind.id), need not be in any folder.

Ends with 1 when a .proto file is not right, also about ids: shared ones, 2001 to 2199, 2^31 and more, and missing ones of a
player's Request or Response. With --check, ends with 3 when a file is not as it would be written, and writes nothing.`,
		Example: "  wind gen --proto api/speak.proto --out scripts/game --lang star\n" +
			"  wind gen --proto api/speak.proto --out api --lang go --check",
	}
	c.Flags().StringArrayVar(&source.Protos, "proto", nil, "a .proto file; may be given again")
	c.Flags().StringArrayVarP(&source.Include, "include", "I", nil, "folder in which imports are looked for; may be given again (default: the current one)")
	c.Flags().StringVar(&out, "out", "", "folder to write into")
	c.Flags().StringSliceVar(&langs, "lang", nil, "languages, comma-separated: go, star, python")
	c.Flags().StringSliceVar(&source.Server, "server", nil, "messages that only services may send, comma-separated")
	c.Flags().BoolVar(&check, "check", false, "write nothing: end with 3 when a file is not as it would be written")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		wanted, err := genLangs(langs)
		switch {
		case len(source.Protos) == 0:
			return usagef("gen: --proto is needed: the .proto file of the messages")
		case out == "":
			return usagef("gen: --out is needed: the folder to write into")
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
		return nil, usagef("gen: --lang is needed: go, star or python, or several, comma-separated")
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

// generated is the result of gen for one file that was not as it should be.
type generated struct {
	Path  string   `json:"path"`
	Added []string `json:"added,omitempty"` // handlers that a skeleton got, or lacks
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
		lines = []string{"everything is as it should be"}
	}
	if err := a.print(map[string]any{"out": out, "check": check, "files": files}, lines...); err != nil {
		return err
	}
	if check && len(stale) > 0 {
		return checkError{errors.New("gen: " + fmt.Sprintf("%d of the files in %s are not what would be written: run the same without --check", len(stale), out))}
	}
	return nil
}
