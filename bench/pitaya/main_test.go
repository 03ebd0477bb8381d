package main

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

const someCommit = "0123456789abcdef0123456789abcdef01234567"

func TestOptionsNameACommit(t *testing.T) {
	o, err := parse([]string{"--pitaya-source", "dir", "--pitaya-commit", someCommit, "--pitaya-set", "pitaya.Concurrency.handler.dispatch=50", "--depths", "1, 4"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.source != "dir" || o.commit != someCommit || !reflect.DeepEqual(o.depths, []int{1, 4}) || o.rounds != 3 {
		t.Errorf("%+v", o)
	}
	if o.planned() != 2*3*2*11*time.Second {
		t.Errorf("planned %s", o.planned())
	}
	set := map[string]string{}
	for _, s := range o.settings() {
		set[s.Key] = s.Value
	}
	if set["pitaya.concurrency.handler.dispatch"] != "50" || set["pitaya.buffer.agent.messages"] != "2000" || len(set) != 8 {
		t.Errorf("%v", set)
	}
	if o, err = parse([]string{"--alone"}, io.Discard); err != nil || !reflect.DeepEqual(o.sides(), []string{"wind"}) {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestOptionsAreRefusedWithTheWayOut(t *testing.T) {
	named := "--pitaya-source dir --pitaya-commit " + someCommit + " "
	for args, want := range map[string]string{
		"":                              "--pitaya-commit with the 40 digits",
		"--pitaya-source dir":           "--pitaya-commit with the 40 digits",
		"--pitaya-commit " + someCommit: "give --pitaya-source DIR|URL",
		"--pitaya-source dir --pitaya-commit main":    `"main" is not exact`,
		"--pitaya-source dir --pitaya-commit 0123456": "git -C DIR rev-parse",
		named + "--alone":                              "--alone measures no Pitaya",
		named + "--seconds 60 --rounds 100":            "raise --limit",
		named + "--seconds 5 --limit 10s":              "the measurements alone take 1m12s",
		named + "--pitaya-set dispatch=1":              "want pitaya.KEY=VALUE",
		named + "--pitaya-set pitaya.x":                "want pitaya.KEY=VALUE",
		named + "--pitaya-set pitaya.a.nats.connect=x": "no address",
		named + "--pitaya-port 70000":                  "want 0 to 65535",
		named + "--depths 0":                           "want numbers from 1 to 1024",
		named + "--handler lua":                        "neither go nor star",
		named + "--rounds 0":                           "want 1 to 60, 1 to 100",
		named + "more":                                 `unexpected argument "more"`,
		"--pitaya 127.0.0.1:3250":                      "not defined",
		named + "--connections 0":                      "want 1 to 10000",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
