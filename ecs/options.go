package ecs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxOptionText is the longest string option, in bytes.
const maxOptionText = 256

// OptionField describes one option of a game, for flags and help.
type OptionField struct {
	Name    string       // kebab-case of Field: flag name and JSON key
	Field   string       // name in the Go struct
	Usage   string       // from the usage tag
	Kind    reflect.Kind // Bool, Int32, Int64, Uint32, Uint64, Float64 or String
	Default string
	Min     string // from the tag, empty if unset
	Max     string
	Later   bool // from the tag: EncodeOptions leaves the option out while it has its default
	index   int
}

// OptionFields lists the options in struct order. It refuses a struct that Game.Options does not allow.
func (g Game) OptionFields() ([]OptionField, error) {
	if g.Options == nil {
		return nil, nil
	}
	v := reflect.ValueOf(g.Options)
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("ecs: game %s: options are a %s, want a struct value", g.Name, v.Type())
	}
	var fields []OptionField
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			return nil, fmt.Errorf("ecs: game %s: option %s is not exported", g.Name, f.Name)
		}
		switch f.Type.Kind() {
		case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Float64, reflect.String:
		default:
			return nil, fmt.Errorf("ecs: game %s: option %s is a %s, want bool, int32, int64, uint32, uint64, float64 or string", g.Name, f.Name, f.Type)
		}
		o := OptionField{
			Name: kebab(f.Name), Field: f.Name, Kind: f.Type.Kind(), Default: fmt.Sprint(v.Field(i).Interface()),
			Usage: f.Tag.Get("usage"), Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), Later: f.Tag.Get("later") == "true", index: i,
		}
		if err := o.usable(fields); err != nil {
			return nil, fmt.Errorf("ecs: game %s: option %s %w", g.Name, f.Name, err)
		}
		fields = append(fields, o)
	}
	return fields, nil
}

// usable returns an error if f conflicts with an earlier option or has bounds that its kind cannot have.
func (f *OptionField) usable(before []OptionField) error {
	for i := range before {
		if before[i].Name == f.Name {
			return fmt.Errorf("and option %s are both called %s", before[i].Field, f.Name)
		}
	}
	if (f.Kind == reflect.Bool || f.Kind == reflect.String) && f.Min+f.Max != "" {
		return fmt.Errorf("is a %s, which has no min and max", f.Kind)
	}
	return nil
}

// EncodeOptions encodes v, of the type of g.Options, as a canonical JSON object: keys sorted, every option present, but
// not those tagged `later:"true"` that have their defaults: a game can gain an option without changing the checksums of
// worlds that do not use it. The default of such an option must never change, since those worlds do not hold it. nil means
// the defaults. A game without options encodes as {}.
func (g Game) EncodeOptions(v any) ([]byte, error) {
	fields, err := g.OptionFields()
	if err != nil {
		return nil, err
	}
	if v == nil {
		v = g.Options
	}
	if g.Options == nil {
		if v != nil {
			return nil, fmt.Errorf("ecs: game %s has no options", g.Name)
		}
		return []byte("{}"), nil
	}
	rv := reflect.ValueOf(v)
	if rv.Type() != reflect.TypeOf(g.Options) {
		return nil, fmt.Errorf("ecs: game %s: options are a %s, want %T", g.Name, rv.Type(), g.Options)
	}
	defaults := reflect.ValueOf(g.Options)
	object := make(map[string]any, len(fields)) // json sorts the keys
	for i := range fields {
		f := &fields[i]
		if err := f.check(rv.Field(f.index)); err != nil {
			return nil, fmt.Errorf("ecs: game %s: %w", g.Name, err)
		}
		if f.Later && rv.Field(f.index).Equal(defaults.Field(f.index)) {
			continue
		}
		object[f.Name] = rv.Field(f.index).Interface()
	}
	return json.Marshal(object)
}

// DecodeOptions decodes a JSON object into a struct of the type of g.Options. Absent options keep their defaults.
// Unknown and repeated names, other types and values out of range are errors. Empty input means the defaults.
func (g Game) DecodeOptions(b []byte) (any, error) {
	fields, err := g.OptionFields()
	if err != nil {
		return nil, err
	}
	var target reflect.Value
	if g.Options != nil {
		target = reflect.New(reflect.TypeOf(g.Options)).Elem()
		target.Set(reflect.ValueOf(g.Options))
	}
	if len(b) > 0 {
		if err := decodeObject(b, fields, target); err != nil {
			return nil, fmt.Errorf("ecs: options of game %s: %w", g.Name, err)
		}
	}
	for i := range fields {
		if err := fields[i].check(target.Field(fields[i].index)); err != nil {
			return nil, fmt.Errorf("ecs: options of game %s: %w", g.Name, err)
		}
	}
	if g.Options == nil {
		return nil, nil
	}
	return target.Interface(), nil
}

func decodeObject(b []byte, fields []OptionField, target reflect.Value) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := make([]bool, len(fields))
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		i := 0
		for i < len(fields) && fields[i].Name != key {
			i++
		}
		if i == len(fields) {
			return fmt.Errorf("no option %q", key)
		}
		if seen[i] {
			return fmt.Errorf("option %q appears twice", key)
		}
		seen[i] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if string(raw) == "null" {
			return fmt.Errorf("option %q is null", key)
		}
		if err := json.Unmarshal(raw, target.Field(fields[i].index).Addr().Interface()); err != nil {
			return fmt.Errorf("option %q: %w", key, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return errors.New("bytes after the JSON object")
	}
	return nil
}

// check returns an error if v is outside the field's bounds.
func (f *OptionField) check(v reflect.Value) error {
	switch f.Kind {
	case reflect.String:
		if s := v.String(); len(s) > maxOptionText || !utf8.ValidString(s) {
			return fmt.Errorf("option %s is longer than %d bytes or not UTF-8", f.Name, maxOptionText)
		}
		return nil
	case reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("option %s is not a finite number", f.Name)
		}
	case reflect.Bool:
		return nil
	}
	low, err := f.compare(v, f.Min)
	if err != nil {
		return err
	}
	high, err := f.compare(v, f.Max)
	if err != nil {
		return err
	}
	if f.Min != "" && low < 0 {
		return fmt.Errorf("option %s is %v, below %s", f.Name, v.Interface(), f.Min)
	}
	if f.Max != "" && high > 0 {
		return fmt.Errorf("option %s is %v, above %s", f.Name, v.Interface(), f.Max)
	}
	return nil
}

// compare returns the sign of v minus the bound.
func (f *OptionField) compare(v reflect.Value, bound string) (sign int, err error) {
	if bound == "" {
		return 0, nil
	}
	switch f.Kind {
	case reflect.Int32, reflect.Int64:
		var b int64
		b, err = strconv.ParseInt(bound, 10, 64)
		sign = compare(v.Int(), b)
	case reflect.Uint32, reflect.Uint64:
		var b uint64
		b, err = strconv.ParseUint(bound, 10, 64)
		sign = compare(v.Uint(), b)
	case reflect.Float64:
		var b float64
		b, err = strconv.ParseFloat(bound, 64)
		sign = compare(v.Float(), b)
	}
	if err != nil {
		return 0, fmt.Errorf("option %s has the bound %q, which is not a number of its type", f.Name, bound)
	}
	return sign, nil
}

func compare[T int64 | uint64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// OptionsOf returns the options of the world that Setup is configuring. If T is not the type of Game.Options, it panics
// like a refused registration.
func OptionsOf[T any](w *World) T {
	v, ok := w.optionValue.(T)
	if !ok {
		refuse("ecs: game %s: options are a %T, not a %s", w.game.Name, w.optionValue, reflect.TypeFor[T]())
	}
	return v
}

// kebab turns MaxSpeed into max-speed and HTTPPort into http-port.
func kebab(s string) string {
	var b strings.Builder
	r := []rune(s)
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
