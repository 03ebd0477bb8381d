package reload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// table is a coordinator's instances that answer from a table, "<instance> <op>" → answer. Without an entry they
// succeed.
type table map[string]any

func (a table) run(t *testing.T, cfg Config) (r Result, asked string, err error) {
	t.Helper()
	c, requests := Begin("r", cfg)
	var said []string
	for len(requests) > 0 {
		q := requests[0]
		requests = requests[1:]
		said = append(said, q.Instance+" "+string(q.Step.Op))
		reply := Reply{Instance: q.Instance, Op: q.Step.Op}
		switch x := a[q.Instance+" "+string(q.Step.Op)].(type) {
		case error:
			reply.Err = x
		case Answer:
			reply.Answer = x
		}
		requests = append(requests, c.Step(reply)...)
		if again := c.Step(reply); len(again) > 0 {
			t.Errorf("an answer that came twice asks for %v", again)
		}
	}
	if !c.Done() {
		t.Error("no request is outstanding, but it is not done")
	}
	r, err = c.Result()
	return r, strings.Join(said, ", "), err
}

var three = Config{Type: "game", Instances: []string{"a", "b", "c"}, Modules: simModules("new", "x")}

// runsNew is the answer of an instance that runs the new scripts.
var runsNew = Answer{Modules: Pack(three.Modules, false)}

func no(code rpc.Code, text string) error { return rpc.Errorf(code, "%s", text) }

func lost() error {
	return &rpc.Error{Code: rpc.DeadlineExceeded, Text: "no answer", Maybe: true}
}

func TestWhatAReloadTells(t *testing.T) {
	dry := three
	dry.DryRun = true
	whole := three
	whole.Whole = true
	for _, c := range []struct {
		name   string
		cfg    Config
		by     table
		state  State
		each   string // states of the instances
		says   string // part of the error
		asked  string
		reason rpc.Code
	}{
		{"all do it", three, nil, Committed, "committed committed committed", "", "a prepare, b prepare, c prepare, a commit, b commit, c commit", 0},
		{"a dry run", dry, nil, Checked, "checked checked checked", "", "a prepare, b prepare, c prepare, a abort, b abort, c abort", 0},
		{
			"one cannot", three,
			table{"b prepare": no(rpc.InvalidArgument, "x.star:3:5: undefined: nope")},
			Refused, "checked refused checked",
			"1 of the 3 instances of game cannot take the scripts; nothing has changed: b: x.star:3:5: undefined: nope", "a prepare, b prepare, c prepare, a abort, c abort", rpc.FailedPrecondition,
		},
		{
			"two of an origin would differ", three,
			table{"a prepare": Answer{Origin: "o", Result: "1"}, "c prepare": Answer{Origin: "o", Result: "2"}},
			Refused, "checked checked checked",
			"a and c came with the same scripts and run different ones; nothing has changed: reload all modules of game", "a prepare, b prepare, c prepare, a abort, b abort, c abort", rpc.FailedPrecondition,
		},
		{
			"a commit that is refused", three,
			table{"b commit": no(rpc.FailedPrecondition, "another came in between")},
			Mixed, "committed refused committed",
			"a, c with the new scripts; b with the old ones: reload again", "", rpc.Aborted,
		},
		{
			"all refuse", three,
			table{"a commit": no(rpc.FailedPrecondition, "no"), "b commit": no(rpc.Unavailable, "not there"), "c commit": no(rpc.FailedPrecondition, "no")},
			Refused, "refused refused refused",
			"all 3 instances of game did not commit; nothing has changed: a: no; b: not there; c: no", "", rpc.FailedPrecondition,
		},
		{"an answer that is lost", three, table{"b commit": lost(), "b scripts": runsNew}, Committed, "committed committed committed", "", "", 0},
		{"one that does not say", three, table{"b commit": lost(), "b scripts": lost()}, Mixed, "committed unknown committed", "b unknown", "", rpc.Aborted},
		{"one that runs the old, so far", three, table{"b commit": lost(), "b scripts": Answer{}}, Mixed, "committed unknown committed", "b unknown", "", rpc.Aborted},
		{"one that runs more than the whole", whole, table{"b commit": lost(), "b scripts": Answer{Modules: Pack(append(simModules("odd", "y"), three.Modules...), false)}}, Mixed, "committed unknown committed", "b unknown", "", rpc.Aborted},
		{"nobody", Config{Type: "game"}, nil, Refused, "", "no instance of game is up", "", rpc.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, asked, err := c.by.run(t, c.cfg)
			var each []string
			for _, i := range r.Instances {
				each = append(each, string(i.State))
			}
			if r.State != c.state || strings.Join(each, " ") != c.each {
				t.Errorf("it is %s (%s), want %s (%s)", r.State, strings.Join(each, " "), c.state, c.each)
			}
			if (err != nil) != (c.says != "") || err != nil && (!strings.Contains(err.Error(), c.says) || rpc.ErrorOf(err).Code != c.reason) {
				t.Errorf("error %v, want %v with %q", err, c.reason, c.says)
			}
			if c.asked != "" && asked != c.asked {
				t.Errorf("asked %s, want %s", asked, c.asked)
			}
		})
	}
}

func TestACommitIsAboveAllGenerations(t *testing.T) {
	c, _ := Begin("r", three)
	var commits []Request
	for id, generation := range map[string]uint64{"a": 3, "b": 9, "c": 0} {
		commits = append(commits, c.Step(Reply{Instance: id, Op: OpPrepare, Answer: Answer{Generation: generation}})...)
	}
	if len(commits) != 3 {
		t.Fatalf("requests %+v", commits)
	}
	for _, q := range commits {
		if q.Step.Op != OpCommit || q.Step.Generation != 10 {
			t.Errorf("%+v", q)
		}
	}
}

func TestACancelledReloadChangesNothing(t *testing.T) {
	c, _ := Begin("r", three)
	c.Step(Reply{Instance: "a", Op: OpPrepare})
	c.Step(Reply{Instance: "b", Op: OpPrepare})
	c.Cancel(context.Canceled)
	for _, q := range c.Step(Reply{Instance: "c", Op: OpPrepare}) {
		if q.Step.Op != OpAbort {
			t.Errorf("asked to %s", q.Step.Op)
		}
	}
	if _, err := c.Result(); rpc.ErrorOf(err).Code != rpc.Canceled {
		t.Errorf("error %v", err)
	}
	// A reload that is committing continues to its end.
	c, _ = Begin("r", three)
	for _, id := range three.Instances {
		c.Step(Reply{Instance: id, Op: OpPrepare})
	}
	c.Cancel(context.Canceled)
	for _, id := range three.Instances {
		c.Step(Reply{Instance: id, Op: OpCommit})
	}
	if r, err := c.Result(); r.State != Committed || err != nil {
		t.Errorf("%s, %v", r.State, err)
	}
}

func TestStepsSurviveTheirWay(t *testing.T) {
	s := Step{Op: OpPrepare, Reload: "r", Generation: 3, Whole: true, Modules: []script.Module{{Name: "a.star", Source: []byte("é\n")}, {Name: "gone.star"}, {Name: "empty.star", Source: []byte{}}}}
	body, err := s.Body()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseStep(OpPrepare, body)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(s) || got.Modules[1].Source != nil || got.Modules[2].Source == nil {
		t.Errorf("%+v, %v, want %+v", got, err, s)
	}
	for _, bad := range []string{"", "x", "[]", "{}", `{"reload":7}`, `{"reload":"r","modules":[{"name":"a.star","source":"x","sha256":"00"}]}`} {
		if _, err := ParseStep(OpPrepare, []byte(bad)); rpc.ErrorOf(err) == nil || rpc.ErrorOf(err).Code != rpc.InvalidArgument {
			t.Errorf("%q: %v", bad, err)
		}
	}
	e := entryOf(7, "r", s.Modules)
	value, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseEntry(value); err != nil || back.Generation != 7 || back.SHA256 != script.SHA256(s.Modules) || len(back.Modules) != 3 {
		t.Errorf("%+v, %v", back, err)
	}
	for n := range value {
		if back, err := ParseEntry(value[:n]); err == nil || back.Generation != 0 {
			t.Errorf("%d of %d bytes are an entry: %+v", n, len(value), back)
		}
	}
}

var errBroken = errors.New("the store is broken")
