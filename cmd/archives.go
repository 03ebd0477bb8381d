package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ferris1/wind/persistence"
)

// openArchives opens the archives below a URL.
type openArchives = func(ctx context.Context, url string) (persistence.Archives, error)

// WithArchives lets --archive and --file name URLs of the schemes: archives in an object store, which open opens. Module
// persistence/objects has such a function.
func WithArchives(open openArchives, schemes ...string) Option {
	return func(p *program) {
		if p.stores == nil {
			p.stores = map[string]openArchives{}
		}
		for _, s := range schemes {
			p.stores[s] = open
		}
	}
}

// archivesAt returns the archives in a folder, or in the object store that a URL names.
func (a *app) archivesAt(ctx context.Context, where string) (persistence.Archives, error) {
	scheme, _, found := strings.Cut(where, "://")
	if !found {
		return persistence.NewFolder(where)
	}
	all := map[string]openArchives{}
	for _, p := range a.games { // whichever game it is, the stores are the binary's
		maps.Copy(all, p.stores)
	}
	open := all[scheme]
	switch {
	case open == nil && len(all) == 0:
		return nil, usagef("%s: this binary has no object store: name a folder, or build a binary with cmd.WithArchives and module persistence/objects", where)
	case open == nil:
		return nil, usagef("%s: this binary has no object store for %s:// (it has %s)", where, scheme, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	archives, err := open(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return archives, nil
}

// openExport opens an export file or an archive, by its path or URL. If the file as a whole is damaged, its error says what
// to do.
func (a *app) openExport(ctx context.Context, place string) (*persistence.File, error) {
	file, err := a.openPlace(ctx, place)
	info, statErr := os.Stat(place)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("there is no file %s: name one that log export wrote, or a room's archive", place)
	case statErr == nil && info.IsDir():
		err = fmt.Errorf("%s is a folder: name a file that log export wrote, or a room's archive", place)
	case errors.Is(err, persistence.ErrNoExport):
		err = fmt.Errorf("%s is %w: name a file that log export wrote, or a room's archive", place, persistence.ErrNoExport) // no log was damaged
	case errors.Is(err, persistence.ErrCorrupt):
		err = fmt.Errorf("%w; nothing in it can be read this way: name another copy of it, or export the log again while its shard has it", err)
	}
	return file, err
}

func (a *app) openPlace(ctx context.Context, place string) (*persistence.File, error) {
	if !strings.Contains(place, "://") {
		return persistence.OpenFile(place)
	}
	u, err := url.Parse(place)
	if err != nil {
		return nil, err
	}
	name := path.Base(u.Path)
	u.Path, u.RawPath = path.Dir(u.Path), ""
	archives, err := a.archivesAt(ctx, u.String())
	if err != nil {
		return nil, err
	}
	return persistence.OpenArchive(ctx, archives, name)
}
