package ecs

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
)

// FieldTag holds what a field's wind tag says about how clients see that field of a replicated component or resource.
// The tag is a comma-separated list of
//
//	q=STEP           numbers travel as whole multiples of STEP, rounded to the nearest
//	range=LOW..HIGH  values outside travel as the nearer end; fewer bits; a float needs q too, an integer defaults to q=1 and
//	                 has whole steps and ends that its type can hold
//	replicated       the field travels as it is, like an untagged field in a replicated type
//	-                the field never leaves the server; must be the only word
//
// With q but no range, a value reaches 2,147,483,647 steps either side of zero; an integer that can go beyond needs a range. A range holds at most 2^32 steps. A tag
// on a struct or array field applies to every field inside without its own tag. Any wind tag other than "-" makes its
// component or resource replicated, like the option Replicated.
type FieldTag struct {
	Hidden bool    // clients never see the field
	Step   float64 // 0: the value travels as it is
	Low    int64   // the range's low end, in steps
	Steps  uint32  // from the low end to the high end
}

// The keys of a wind tag.
const (
	tagStep       = "q"
	tagRange      = "range"
	tagReplicated = "replicated"
	tagHidden     = "-"
)

// tagKeys lists the keys for errors; tagSynonyms maps common mistakes to them.
var (
	tagKeys     = []string{tagStep, tagRange, tagReplicated}
	tagSynonyms = map[string]string{
		"step": tagStep, "precision": tagStep, "resolution": tagStep, "min": tagRange, "max": tagRange, "bounds": tagRange, "limits": tagRange,
		"rng": tagRange, "hidden": tagHidden, "hide": tagHidden, "none": tagHidden, "private": tagHidden, "skip": tagHidden, "server": tagHidden, "omit": tagHidden,
	}
)

// freeSteps is the reach of a field with a step but no range, in steps either side of zero.
const freeSteps = 1<<31 - 1

// ParseTag parses the wind tag of a field of that kind. KindInvalid means a struct or an array of structs: ParseTag
// then checks only the syntax, because each field inside is checked again.
func ParseTag(text string, kind FieldKind) (FieldTag, error) {
	t, err := parseTag(text)
	if err == nil && kind != KindInvalid {
		err = t.fit(kind)
	}
	if err != nil {
		return FieldTag{}, fmt.Errorf("the tag wind:%q %w", text, err)
	}
	return t.FieldTag, nil
}

// Sending returns how the field travels to clients when its type is replicated.
func (f *Field) Sending() (FieldTag, error) { return ParseTag(f.Tag, f.Kind) }

// MaxBits returns the largest size of one value of f sent whole, in bits (netcode/replication/FORMAT.md).
func (t FieldTag) MaxBits(f *Field) int {
	switch {
	case t.Step != 0:
		return bits.Len32(t.Steps)
	case f.Kind == KindBool:
		return 1
	case f.Kind == KindF32:
		return 32
	case f.Kind == KindF64:
		return 1 + 64
	case f.Kind == KindI64 || f.Kind == KindU64:
		return 2 + 64
	case f.Kind == KindEntity:
		return 2 * (4 + 32)
	case f.Kind == KindText:
		return 8 * f.Width
	}
	return 2 + 32
}

// tagWords is a parsed tag, before it is matched with the field's kind.
type tagWords struct {
	FieldTag
	ranged    bool
	low, high float64
}

func parseTag(text string) (t tagWords, err error) {
	if strings.TrimSpace(text) == "" {
		return t, nil
	}
	words := strings.Split(text, ",")
	seen := map[string]bool{}
	for _, word := range words {
		key, value, valued := strings.Cut(strings.TrimSpace(word), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if seen[key] {
			return t, fmt.Errorf("has %q twice", key)
		}
		seen[key] = true
		switch key {
		case tagStep:
			err = t.step(value)
		case tagRange:
			err = t.bounds(value)
		case tagReplicated, tagHidden:
			if valued {
				err = fmt.Errorf("gives %q a value, but it takes none", key)
			}
			t.Hidden = t.Hidden || key == tagHidden
		case "":
			err = errors.New("has an empty word between its commas")
		default:
			err = fmt.Errorf("has the key %q%s; the keys are q=STEP, range=LOW..HIGH, replicated and -", key, meantKey(key))
		}
		if err != nil {
			return t, err
		}
	}
	if t.Hidden && len(words) > 1 {
		return t, errors.New(`has "-", which hides the field, and other words: "-" must stand alone`)
	}
	return t, nil
}

// meantKey returns the suggestion that ends an error about an unknown key.
func meantKey(key string) string {
	low := strings.ToLower(key)
	near := tagSynonyms[low]
	for _, k := range []string{tagRange, tagReplicated, tagStep} {
		if near == "" && low != "" && (strings.HasPrefix(low, k) || strings.HasPrefix(k, low)) {
			near = k
		}
	}
	if near == "" {
		near = Nearest(key, tagKeys)
	}
	if near == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %s?", near)
}

func (t *tagWords) step(value string) (err error) {
	if t.Step, err = strconv.ParseFloat(value, 64); err != nil || !(t.Step > 0 && t.Step < math.Inf(1)) {
		return fmt.Errorf("has the step q=%s; want a positive number, such as q=0.01", value)
	}
	return nil
}

func (t *tagWords) bounds(value string) error {
	low, high, ok := strings.Cut(value, "..")
	var err, err2 error
	t.low, err = strconv.ParseFloat(strings.TrimSpace(low), 64)
	t.high, err2 = strconv.ParseFloat(strings.TrimSpace(high), 64)
	switch {
	case !ok || err != nil || err2 != nil || math.IsInf(t.low, 0) || math.IsInf(t.high, 0):
		return fmt.Errorf("has range=%s; want two finite numbers, such as range=-100..100", value)
	case !(t.low < t.high):
		return fmt.Errorf("has range=%s, whose low end is not below its high end", value)
	}
	t.ranged = true
	return nil
}

// fit completes the tag for a field of that kind, or returns why that kind cannot have it.
func (t *tagWords) fit(kind FieldKind) error {
	if t.Step == 0 && !t.ranged {
		return nil
	}
	switch kind {
	case KindF32, KindF64:
		if t.Step == 0 {
			return errors.New("has a range without a step; add one, such as q=0.01")
		}
	case KindI8, KindI16, KindI32, KindI64, KindU8, KindU16, KindU32, KindU64:
		if t.Step == 0 {
			t.Step = 1
		}
		if err := t.fitInteger(integers[kind]); err != nil {
			return err
		}
	default:
		return fmt.Errorf("has q or range on %s; only numbers have steps", kindWords[kind])
	}
	if !t.ranged {
		t.low, t.high = float64(-freeSteps*t.Step), float64(freeSteps*t.Step)
	}
	low, high := math.Floor(t.low/t.Step+0.5), math.Floor(t.high/t.Step+0.5)
	switch {
	case !(high-low <= math.MaxUint32) || math.Abs(low) > 1<<52:
		return fmt.Errorf("has more than 2^32 steps of %g in its range; make the step larger or the range smaller", t.Step)
	case high == low:
		return fmt.Errorf("has a step of %g that is larger than its range: every value would travel as the same", t.Step)
	}
	t.Low, t.Steps = int64(low), uint32(high-low) //windvet:allow whole numbers in range, as checked above
	return nil
}

// fitInteger returns why whole numbers of a kind cannot have the tag: it speaks of values that they never have, or its steps do
// not reach values that they have.
func (t *tagWords) fitInteger(n integer) error {
	whole := func(v float64) bool { return v == math.Floor(v) }
	switch {
	case !whole(t.Step):
		return fmt.Errorf("has the step q=%g on %s; want a whole step, such as q=1", t.Step, n.name)
	case !t.ranged && n.high > freeSteps*t.Step:
		return fmt.Errorf("has q without a range on %s, whose values go beyond its %d steps; add one, such as range=0..1000", n.name, int64(freeSteps))
	case t.ranged && (!whole(t.low) || !whole(t.high)):
		return fmt.Errorf("has range=%g..%g on %s; want whole numbers", t.low, t.high, n.name)
	case t.ranged && (t.low < n.low || t.high > n.high):
		return fmt.Errorf("has range=%g..%g on %s, which has only %g to %g", t.low, t.high, n.name, n.low, n.high)
	}
	return nil
}

// integer describes a kind of whole numbers.
type integer struct {
	name      string
	low, high float64
}

var integers = map[FieldKind]integer{
	KindI8: {"an int8", math.MinInt8, math.MaxInt8}, KindI16: {"an int16", math.MinInt16, math.MaxInt16},
	KindI32: {"an int32", math.MinInt32, math.MaxInt32}, KindI64: {"an int64", math.MinInt64, math.MaxInt64},
	KindU8: {"a uint8", 0, math.MaxUint8}, KindU16: {"a uint16", 0, math.MaxUint16},
	KindU32: {"a uint32", 0, math.MaxUint32}, KindU64: {"a uint64", 0, math.MaxUint64},
}

var kindWords = map[FieldKind]string{KindBool: "a bool", KindEntity: "an entity", KindText: "a text"}

// The only Wind tag that a field may have, by where the field is.
const (
	tagOfComponent = "wind"
	tagOfView      = "ecs"
	tagOfNothing   = ""
)

// CheckTagKeys refuses what reflection would silently ignore: a tag that is not of the form key:"text", a repeated key,
// and, for a field that may have the tag want ("wind", "ecs" or no tag), Wind's other tag or a key that differs from it
// only in case. It leaves other libraries' tags alone.
func CheckTagKeys(tag reflect.StructTag, want string) error {
	seen := map[string]bool{}
	rest := strings.TrimLeft(string(tag), " ")
	for rest != "" {
		key, value, ok := strings.Cut(rest, ":")
		quoted, err := strconv.QuotedPrefix(value)
		if !ok || err != nil || key == "" || strings.ContainsAny(key, " \"") || quoted[0] != '"' {
			if word := strings.ToLower(leadingLetters(rest)); word == tagOfComponent || word == tagOfView {
				return fmt.Errorf("the tag `%s` is not of the form key:\"text\"", tag)
			}
			return nil // another library's
		}
		switch low := strings.ToLower(key); {
		case low != tagOfComponent && low != tagOfView:
		case seen[key]:
			return fmt.Errorf("the tag `%s` has %s twice", tag, key)
		case low != want && want == tagOfComponent:
			return fmt.Errorf("the tag %s:%s belongs to a field of a query's view; wind:\"…\" says how clients see a field", key, quoted)
		case low != want && want == tagOfView:
			return fmt.Errorf("the tag %s:%s belongs to a field of a component; a view's field has ecs:\"read\" or ecs:\"optional\"", key, quoted)
		case low != want:
			return fmt.Errorf("the tag %s:%s has no meaning here", key, quoted)
		case key != low:
			return fmt.Errorf("the tag %s:%s: did you mean %s?", key, quoted, low)
		}
		seen[key] = true
		rest = strings.TrimLeft(value[len(quoted):], " ")
	}
	return nil
}

func leadingLetters(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))]
}

// ParseViewTag parses the ecs tag of a field of a query's view.
func ParseViewTag(text string) (read, optional bool, err error) {
	for word := range strings.SplitSeq(text, ",") {
		switch word = strings.TrimSpace(word); word {
		case "optional":
			optional = true
		case "read":
			read = true
		default:
			return false, false, fmt.Errorf("the tag ecs:%q has the word %q%s, want optional or read", text, word, meant(word, []string{"optional", "read"}))
		}
	}
	return read, optional, nil
}
