package reload

import (
	"fmt"
	"log/slog"

	"github.com/ferris1/wind/systems/script"
)

// start chooses what an instance begins with: the store's scripts if they fit this binary, else those that the instance
// came with. An instance that insists begins with its own and writes them to the store for the others to follow.
func (f *Follower) start(fl *flow, ev Event) {
	switch {
	case ev.Kind == EventKept && ev.Err != nil:
		f.fail(fl, fmt.Errorf("cannot read which scripts are in force: %w", ev.Err))
	case ev.Kind == EventKept && f.runtime != nil: // it insists, and lost a compare-and-set
		f.insist(fl, ev)
	case ev.Kind == EventKept:
		f.choose(fl, ev)
	case ev.Kind == EventMade:
		f.made(fl, ev)
	case ev.Err != nil:
		f.fail(fl, fmt.Errorf("cannot store the folder's scripts: %w", ev.Err))
	case ev.OK:
		f.entered(fl.entry, nil)
		f.answer(fl, Answer{Generation: f.known()})
	case fl.tries == maxTries:
		f.fail(fl, fmt.Errorf("cannot store the folder's scripts: another writer came first %d times", maxTries))
	default:
		fl.tries++
		f.read(fl)
	}
}

// choose has a runtime made of the store's scripts, or of those that the instance came with.
func (f *Follower) choose(fl *flow, ev Event) {
	e := ev.Entry
	fl.entry = Entry{}
	modules := f.own
	if !fl.insist && e.Generation > 0 && e.SHA256 != script.SHA256(f.own) {
		var err error
		if modules, err = Unpack(e.Modules); err != nil {
			f.unfit(e, err)
			modules = f.own
		} else {
			fl.entry = e
		}
	} else if !fl.insist {
		f.entered(e, nil)
	}
	f.do(Action{Kind: ActionMake, Flow: fl.id, Modules: modules})
}

// made continues with the runtime. If the store's scripts did not fit, it falls back to those that the instance came
// with.
func (f *Follower) made(fl *flow, ev Event) {
	switch kept := fl.entry.Generation > 0; {
	case ev.Err != nil && kept:
		f.unfit(fl.entry, ev.Err)
		fl.entry = Entry{}
		f.do(Action{Kind: ActionMake, Flow: fl.id, Modules: f.own})
	case ev.Err != nil:
		f.fail(fl, ev.Err)
	case fl.insist:
		f.runtime = ev.Runtime
		f.read(fl)
	default:
		f.runtime = ev.Runtime
		if kept {
			f.entered(fl.entry, nil)
			f.log(slog.LevelInfo, "the reloaded scripts are in force, not the scripts that this instance came with", fl.entry.Reload, nil)
		}
		f.answer(fl, Answer{Generation: f.known()})
	}
}

// unfit records an entry that this binary cannot run.
func (f *Follower) unfit(e Entry, err error) {
	f.refused = e.Generation
	f.log(slog.LevelError, "the reloaded scripts do not fit this binary, which runs the scripts that it came with", e.Reload, err)
}

// insist writes the folder's scripts to the store, unless the store has them already or has no entry.
func (f *Follower) insist(fl *flow, ev Event) {
	e := ev.Entry
	if e.Generation == 0 || e.SHA256 == script.SHA256(f.own) {
		f.entered(e, nil)
		f.answer(fl, Answer{Generation: f.known()})
		return
	}
	fl.entry = entryOf(e.Generation+1, folderReload(f.name), f.own)
	f.write(fl, ev.Revision)
}
