package script

import (
	"regexp"
	"strings"

	"go.starlark.net/syntax"
)

// hints says what Starlark has instead of what Python has, by the token that its parser did not expect.
var hints = map[string]string{
	"import":   `Starlark has no import: load("lib/rooms.star", "room_of") takes names from another module, and the builtins are there without one`,
	"from":     `Starlark has no import: load("lib/rooms.star", "room_of") takes names from another module`,
	"try":      "Starlark has no exceptions: fail ends the function, so check before a call",
	"except":   "Starlark has no exceptions: fail ends the function, so check before a call",
	"raise":    "Starlark has no exceptions: use fail(text)",
	"assert":   "Starlark has no assert: use if and fail(text)",
	"class":    "Starlark has no classes: use a dict, or functions",
	"with":     "Starlark has no with",
	"is":       "Starlark has no is: use == or !=",
	"async":    "Starlark has no async: functions that wait suspend by themselves",
	"await":    "Starlark has no await: functions that wait suspend by themselves",
	"yield":    "Starlark has no generators: return a list",
	"global":   "Starlark has no global: a module's variables are read-only once it is loaded",
	"nonlocal": "Starlark has no nonlocal: change a list or dict of the outer function instead",
	"del":      "Starlark has no del: use d.pop(key)",
	"'**'":     "Starlark has no **: multiply, or use math.pow where there is one",
}

var (
	gotToken  = regexp.MustCompile(`^got ('[^']+'|[a-z ]+), want `)
	fString   = regexp.MustCompile(`(^|[^A-Za-z0-9_"'])[fF](["']|$)`)
	assertion = regexp.MustCompile(`^\s*assert\s`)
	annotated = regexp.MustCompile(`^\s*(def\s.*[A-Za-z0-9_]\s*|[A-Za-z_][A-Za-z0-9_.]*\s*):$`)
)

// syntaxError explains an error of the parser to somebody who knows Python.
func syntaxError(bad syntax.Error, source []byte) error {
	if hint := hintFor(bad, source); hint != "" {
		return errorAt(bad.Pos, "%s: %s", bad.Msg, hint)
	}
	return errorAt(bad.Pos, "%s", bad.Msg)
}

func hintFor(bad syntax.Error, source []byte) string {
	before, after := lineAround(source, int(bad.Pos.Line), int(bad.Pos.Col))
	if strings.Contains(bad.Msg, "character '@'") && strings.TrimSpace(before) == "" {
		return "Starlark has no decorators: call the function"
	}
	m := gotToken.FindStringSubmatch(bad.Msg)
	switch {
	case m == nil:
		return ""
	case (m[1] == "string literal" || m[1] == "identifier") && fString.MatchString(before):
		return `Starlark has no f-strings: use "%s has %d" % (name, n) or "{} has {}".format(name, n)`
	case m[1] == "identifier" && assertion.MatchString(before):
		return hints["assert"]
	case m[1] == "':'" && annotated.MatchString(before) && strings.TrimSpace(after) != "":
		return "Starlark has no type annotations"
	}
	return hints[m[1]]
}

// lineAround returns a line's parts before and from a column on, both counted from 1.
func lineAround(source []byte, line, col int) (before, after string) {
	lines := strings.SplitN(string(source), "\n", line+1)
	if line < 1 || len(lines) < line {
		return "", ""
	}
	runes := []rune(lines[line-1]) // the parser counts runes
	at := max(0, min(col-1, len(runes)))
	return string(runes[:at]), string(runes[at:])
}
