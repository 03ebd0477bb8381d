package ecs_test

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

type arenaOptions struct {
	Monsters   int32   `usage:"monsters alive at once" min:"0" max:"100000"`
	MapSize    float64 `usage:"metres from edge to edge" min:"10" max:"1e4"`
	HTTPPort   uint32
	Peaceful   bool
	Motto      string
	Population int64 `min:"-5"`
}

var optioned = ecs.Game{Name: "g", TickRate: 30, Options: arenaOptions{Monsters: 200, MapSize: 100, Motto: "go"}, Setup: func(w *ecs.World) {
	type seen struct{ Monsters int32 }
	ecs.Resource[seen](w, "seen")
	o := ecs.OptionsOf[arenaOptions](w)
	ecs.Init(w, func(_ *ecs.Tick, r *ecs.Res[seen]) { r.Get().Monsters = o.Monsters })
}}

func TestOptionsAreCanonicalJSON(t *testing.T) {
	b, err := optioned.EncodeOptions(nil)
	if want := `{"http-port":0,"map-size":100,"monsters":200,"motto":"go","peaceful":false,"population":0}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
	v, err := optioned.DecodeOptions([]byte(`{"monsters": 3, "peaceful": true}`))
	if want := (arenaOptions{Monsters: 3, MapSize: 100, Peaceful: true, Motto: "go"}); err != nil || v != want {
		t.Errorf("%+v, %v, want %+v", v, err, want)
	}
	if v, err := optioned.DecodeOptions(nil); err != nil || v != optioned.Options {
		t.Errorf("the defaults are %+v, %v", v, err)
	}
}

// TestAGameGainsAnOption: the worlds that do not use it keep their options, and with them their checksums.
func TestAGameGainsAnOption(t *testing.T) {
	type before struct{ Monsters int32 }
	type now struct {
		Monsters int32
		Match    float64 `later:"true"`
	}
	game := func(options any) ecs.Game {
		return ecs.Game{Name: "g", TickRate: 30, Options: options, Setup: func(*ecs.World) {}}
	}
	old, gained := game(before{200}), game(now{200, 60})
	was, err := old.EncodeOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	is, err := gained.EncodeOptions(now{200, 60})
	if err != nil || string(is) != string(was) {
		t.Errorf("%s, %v, want %s", is, err, was)
	}
	if used, err := gained.EncodeOptions(now{200, 0}); err != nil || string(used) != `{"match":0,"monsters":200}` {
		t.Errorf("%s, %v", used, err)
	}
	if v, err := gained.DecodeOptions(was); err != nil || v != (now{200, 60}) {
		t.Errorf("the former options are %+v, %v", v, err)
	}
}

func TestOptionsAreHeldAgainstTheirBounds(t *testing.T) {
	for given, want := range map[string]string{
		`{"monsters":-1}`:             "option monsters is -1, below 0",
		`{"monsters":100001}`:         "above 100000",
		`{"map-size":9.5}`:            "below 10",
		`{"population":-6}`:           "below -5",
		`{"monsters":1.5}`:            `option "monsters"`,
		`{"monsters":5000000000}`:     `option "monsters"`,
		`{"monsters":null}`:           "is null",
		`{"monsters":1,"monsters":2}`: "appears twice",
		`{"monster":1}`:               `no option "monster"`,
		`{"Monsters":1}`:              `no option "Monsters"`,
		`{"monsters":1}}`:             "after the JSON object",
		`{"monsters":1} {}`:           "after the JSON object",
		`{"monsters":1`:               "EOF",
		`[1]`:                         "not a JSON object",
		`{"motto":"` + strings.Repeat("x", 300) + `"}`: "longer than 256",
	} {
		if _, err := optioned.DecodeOptions([]byte(given)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", given, err, want)
		}
	}
	if _, err := optioned.EncodeOptions(arenaOptions{MapSize: 5}); err == nil {
		t.Error("options out of range were encoded")
	}
	if _, err := optioned.EncodeOptions(struct{}{}); err == nil {
		t.Error("options of another type were encoded")
	}
}

func TestOptionFieldsDescribeFlags(t *testing.T) {
	fields, err := optioned.OptionFields()
	if err != nil {
		t.Fatal(err)
	}
	f := fields[0]
	if f.Name != "monsters" || f.Usage != "monsters alive at once" || f.Default != "200" || f.Min != "0" || f.Max != "100000" {
		t.Errorf("%+v", f)
	}
	if fields[2].Name != "http-port" || fields[1].Name != "map-size" {
		t.Errorf("%s, %s", fields[1].Name, fields[2].Name)
	}
}

func TestABadBoundIsAnError(t *testing.T) {
	g := optioned
	g.Options = struct {
		N int32 `max:"many"`
	}{}
	if _, err := g.DecodeOptions(nil); err == nil || !strings.Contains(err.Error(), `the bound "many"`) {
		t.Error(err)
	}
}

func TestTwoWorldsWithOtherOptionsAreNotTheSame(t *testing.T) {
	a, err := ecs.New(optioned, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ecs.New(optioned, ecs.Config{Options: []byte(`{"monsters":7}`)})
	if err != nil {
		t.Fatal(err)
	}
	if a.Checksum() == b.Checksum() {
		t.Error("they have the same checksum")
	}
	step(a)
	step(b)
	restored, err := ecs.Restore(optioned, b.AppendSnapshot(nil))
	if err != nil || string(restored.Options()) != `{"monsters":7}` || restored.Checksum() != b.Checksum() {
		t.Errorf("restored with %s, %v", restored.Options(), err)
	}
}

// TestOptionsThatCannotBeFlags: New refuses them.
func TestOptionsThatCannotBeFlags(t *testing.T) {
	for want, options := range map[string]any{
		"option MAXHp and option MaxHp are both called max-hp": struct{ MaxHp, MAXHp int32 }{},
		"option On is a bool, which has no min and max": struct {
			On bool `max:"1"`
		}{},
		"option Name is a string, which has no min and max": struct {
			Name string `min:"a"`
		}{},
	} {
		g := optioned
		g.Options = options
		if _, err := ecs.New(g, ecs.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
