package node_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ferris1/wind/cmd/node"
)

func TestServicesThatCannotAllRunAreRefused(t *testing.T) {
	for want, services := range map[string][]node.Service{
		`two services have the type "mail": give each its own`: {{Type: "mail"}, {Type: "bank"}, {Type: "mail"}},
		`service type "gateway" is taken: it is the gateways'`: {{Type: "gateway"}},
		`service type "shard" is taken: choose another name`:   {{Type: "shard"}},
		`service type "node" is taken: choose another name`:    {{Type: "node"}},
		`service type: `: {{Type: "Mail"}},
	} {
		if err := node.CheckServices(services); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", services, err, want)
		}
		_, err := node.Start(t.Context(), node.Config{NoShard: true, Services: services})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a node starts with %v: %v", services, err)
		}
	}
	if err := node.CheckServices([]node.Service{{Type: "mail"}, {Type: "bank"}}); err != nil {
		t.Error(err)
	}
}

func TestScriptsThatNothingReadsAreTold(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("X = 1\n")}
	got := node.StrayScripts(fstest.MapFS{
		"mail/handlers_client/a.star": file, "mail/handlers_client/b.py": file, "mail/README.md": file, "mail/.git/c.py": file,
		"shard/a.star": file, "banks/handlers_client/a.star": file, "other/x.star": file, "a.star": file, ".hidden/a.star": file,
		"oracle/notes.txt": file, "README.md": file,
	}, []node.Service{{Type: "mail"}, {Type: "bank"}, {Type: "oracle"}})
	want := []string{
		"a.star is not read: it belongs in the folder of a service, shard or mail or bank or oracle",
		"the folder banks is not read: no service has this type (did you mean bank?)",
		"mail/handlers_client/b.py is not read: the names of scripts end in .star",
		"the folder oracle has no scripts: no file below it ends in .star",
		"the folder other is not read: no service has this type (folders are named after a service type, and the game has shard, mail, bank, oracle)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := node.StrayScripts(nil, nil); got != nil {
		t.Errorf("without scripts: %q", got)
	}
}
