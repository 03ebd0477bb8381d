package ecs_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

type jsonInner struct{ X, Y float64 }

type jsonSlot struct {
	Item  uint16
	Count int8
}

type jsonValue struct {
	Hero  uint32
	Big   uint64
	Low   int64
	Small int8
	On    bool
	At    jsonInner
	Slots [2]jsonSlot
	Bits  [3]uint8
	Who   ecs.Entity
	Name  ecs.Text16
	F     float32
}

func jsonType(t testing.TB) *ecs.Type {
	g := ecs.Game{Name: "json", TickRate: 30, Setup: func(w *ecs.World) { ecs.Resource[jsonValue](w, "value") }}
	s, err := ecs.SchemaOf(g, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &s.Resources[0]
}

func TestPackJSON(t *testing.T) {
	typ := jsonType(t)
	for object, want := range map[string]jsonValue{
		`{}`: {},
		`{"hero":3,"Big":"18446744073709551615","low":-9223372036854775808}`: {Hero: 3, Big: 1<<64 - 1, Low: -1 << 63},
		`{"hero":3.0,"small":-1e2}`:                        {Hero: 3, Small: -100},
		`{"at":{"x":1.5,"Y":-2},"on":true}`:                {At: jsonInner{1.5, -2}, On: true},
		`{"at.x":1.5,"At":{"y":2}}`:                        {At: jsonInner{1.5, 2}},
		`{"slots":[{"item":7},{"count":-1}]}`:              {Slots: [2]jsonSlot{{Item: 7}, {Count: -1}}},
		`{"slots[1].item":9}`:                              {Slots: [2]jsonSlot{{}, {Item: 9}}},
		`{"bits":[1,2]}`:                                   {Bits: [3]uint8{1, 2, 0}},
		`{"bits[2]":5}`:                                    {Bits: [3]uint8{0, 0, 5}},
		`{"who":12}`:                                       {Who: ecs.EntityFrom(12, 0)},
		`{"who":"12.10"}`:                                  {Who: ecs.EntityFrom(12, 10)},
		`{"name":"ädä","who":null,"at":null,"bits":null} `: {Name: ecs.NewText16("ädä")},
		`{"f":0.5}`:                                        {F: 0.5},
	} {
		got, err := typ.PackJSON([]byte("head"), []byte(object))
		if err != nil {
			t.Errorf("%s: %v", object, err)
			continue
		}
		if want := ecs.PackValue([]byte("head"), want); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", object, typ.Format(got[4:]), typ.Format(want[4:]))
		}
	}
}

func TestPackJSONSaysWhatIsWrong(t *testing.T) {
	typ := jsonType(t)
	for object, want := range map[string]string{
		``:                             "not a JSON object",
		`[1]`:                          "not a JSON object",
		`{"hero":1} 2`:                 "bytes after the JSON object",
		`{"hero":1`:                    "the JSON object is not closed",
		`{"herro":1}`:                  `no field "herro" (did you mean hero?)`,
		`{"at":{"z":1}}`:               `no field "at.z" (did you mean at.x?)`,
		`{"hero":-1}`:                  "hero must be a non-negative whole number of 32 bits, not -1",
		`{"small":128}`:                "small must be a whole number from -128 to 127, not 128",
		`{"hero":1.5}`:                 "hero must be a non-negative whole number of 32 bits, not 1.5",
		`{"hero":"x"}`:                 `of 32 bits, not "x"`,
		`{"on":1}`:                     "on must be true or false, not 1",
		`{"on":"true"}`:                "on must be true or false",
		`{"name":"12345678901234567"}`: "name must be a text of at most 16 bytes",
		`{"at":1}`:                     "at is not a value: it has parts",
		`{"at":{"x":{}}}`:              "at.x must be a finite number",
		`{"at":{"x":1e999}}`:           "at.x must be a finite number, not 1e999",
		`{"f":1e39}`:                   "f must be a finite number of 32 bits",
		`{"bits":[1,2,3,4]}`:           "bits has [0] to [2], not [3]",
		`{"bits":1}`:                   "bits must be an array of at most 3",
		`{"slots":[{},{},{}]}`:         `no field "slots[2]"`,
		`{"who":1.5}`:                  `who must be an entity: 12 or "12.3", not 1.5`,
		`{"hero":1,"Hero":2}`:          "hero is given twice",
		`{"at.x":1,"at":{"x":2}}`:      "at.x is given twice",
	} {
		got, err := typ.PackJSON([]byte("head"), []byte(object))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "ecs: value: ") {
			t.Errorf("%s: got %v, want %s", object, err, want)
		}
		if string(got) != "head" {
			t.Errorf("%s: dst is %q", object, got)
		}
	}
}

// The world accepts what PackJSON accepts, and PackJSON never writes too many bytes.
func FuzzPackJSON(f *testing.F) {
	typ := jsonType(f)
	codec, err := ecs.NewCodec[jsonValue]()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"hero":3,"at":{"x":1.5},"slots":[{"item":7},{"count":-1}],"bits":[1,2],"who":"1.2","name":"ada","on":true}`))
	f.Add([]byte(`{"at.x":1,"bits[2]":5,"big":"18446744073709551615","f":1e-50}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		b, err := typ.PackJSON(nil, object)
		if err != nil {
			if b != nil {
				t.Fatal("bytes beside an error")
			}
			return
		}
		var v jsonValue
		if len(b) != typ.Packed {
			t.Fatalf("%d bytes", len(b))
		}
		if err := codec.Decode(b, &v); err != nil {
			t.Fatal(err)
		}
	})
}

// TestUnpackJSONIsReadBack: what it writes is JSON, and PackJSON makes the same value of it.
func TestUnpackJSONIsReadBack(t *testing.T) {
	typ := jsonType(t)
	for _, v := range []jsonValue{
		{},
		{Hero: 3, Big: 1<<64 - 1, Low: -1 << 63, Small: -100, On: true, At: jsonInner{1.5, -2e300}, F: 0.1},
		{Bits: [3]uint8{1, 0, 255}, Who: ecs.EntityFrom(12, 10), Name: ecs.NewText16("ä \"b\"\n"), Slots: [2]jsonSlot{{Item: 7}, {Count: -1}}},
	} {
		packed := ecs.PackValue(nil, v)
		text, err := typ.UnpackJSON(packed)
		if err != nil || !json.Valid(text) {
			t.Fatalf("%s, %v", text, err)
		}
		if again, err := typ.PackJSON(nil, text); err != nil || !bytes.Equal(again, packed) {
			t.Errorf("%s: %v, read back as %s", text, err, typ.Format(again))
		}
	}
	if _, err := typ.UnpackJSON(make([]byte, 3)); err == nil {
		t.Error("a value of 3 bytes was shown")
	}
	nan := ecs.PackValue(nil, jsonValue{At: jsonInner{math.NaN(), math.Inf(1)}})
	if text, err := typ.UnpackJSON(nan); err != nil || !json.Valid(text) || !strings.Contains(string(text), `"at.x":null,"at.y":null`) {
		t.Errorf("%s, %v", text, err)
	}
}
