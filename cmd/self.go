package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// self is the name by which this program was called, and the place (data directory, servers, shard) that its flags name.
// Errors, log lines, conditions and help name commands as "wind VERB …". spell turns them into commands that a reader can
// paste: with the program's own name, and with those flags of this call that differ from the defaults of the verb.
// After learn and lookAt, its methods may be called concurrently.
type self struct {
	program string                       // as a shell calls it: ./mygame, wind, go run ./cmd/wind
	name    string                       // its last part
	verbs   map[string]map[string]string // path of a verb → its flags among placeFlags → default
	place   map[string]string            // this call's flags among placeFlags → value
}

// newSelf returns the self of a program called as arg0.
func newSelf(arg0 string) *self {
	return &self{program: calledAs(arg0), name: strings.TrimSuffix(filepath.Base(arg0), ".exe")}
}

// placeFlags are the flags that name a place, in the order in which a spelled command lists them.
var placeFlags = []string{"data", "nats", "etcd", "cluster", "shard", "game"}

// gameless verbs do the same for every game: a spelled command omits --game.
var gameless = []string{"infra", "ps", "call", "drain", "shard", "gen", "init"}

// learn records the program's verbs and spells their help.
func (s *self) learn(root *cobra.Command) {
	s.verbs = map[string]map[string]string{}
	s.learnFrom(root)
	spellHelp(s, root)
}

func (s *self) learnFrom(c *cobra.Command) {
	for _, sub := range c.Commands() {
		path, defaults := pathOf(sub), map[string]string{}
		for _, name := range placeFlags {
			verb, _, _ := strings.Cut(path, " ")
			if f := sub.Flag(name); f != nil && (name != "game" || !slices.Contains(gameless, verb)) {
				defaults[name] = f.DefValue
			}
		}
		s.verbs[path] = defaults
		s.learnFrom(sub)
	}
}

// spellHelp spells the help of c and of its subcommands, and has them check their arguments against their Use lines.
func spellHelp(s *self, c *cobra.Command) {
	for _, text := range []*string{&c.Short, &c.Long, &c.Example} {
		*text = s.respell(*text, false)
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) { f.Usage = s.respell(f.Usage, false) })
	if c.Runnable() && !c.HasSubCommands() && c.Name() != "help" && c.Parent().Name() != "completion" {
		c.Args = positional
	}
	for _, sub := range c.Commands() {
		spellHelp(s, sub)
	}
}

// calledAs returns what to type to run the program again. go run removes the binary that it built, so for such a binary it
// returns "go run" and the package.
func calledAs(arg0 string) string {
	b, ok := debug.ReadBuildInfo()
	if ok && strings.Contains(filepath.ToSlash(arg0), "/go-build") && strings.Contains(filepath.ToSlash(arg0), "/exe/") {
		if b.Path == "" || b.Path == "command-line-arguments" {
			return "go run ."
		}
		return "go run " + b.Path
	}
	return quoted(arg0)
}

// aCommand matches a command of the program in a text, and the character before it.
var aCommand = regexp.MustCompile(`(^|[^\w/.\\-])wind ([a-z]+)( [a-z][a-z-]*)?`)

// spell returns text with each command as the reader has to type it.
func (s *self) spell(text string) string { return s.respell(text, true) }

// respell does the work of spell. flags says whether to add this call's flags; help does not need them.
func (s *self) respell(text string, flags bool) string {
	if !strings.Contains(text, "wind ") {
		return text
	}
	var b strings.Builder
	at := 0
	for _, m := range aCommand.FindAllStringSubmatchIndex(text, -1) {
		end := m[1]
		takes, ok := s.verbs[text[m[4]:end]]
		if !ok {
			end = m[5]
			takes, ok = s.verbs[text[m[4]:end]]
		}
		if !ok {
			continue
		}
		b.WriteString(text[at:m[3]] + s.program + " " + text[m[4]:end])
		if flags {
			b.WriteString(s.flags(takes, argumentsIn(text[end:])))
		}
		at = end
	}
	return b.String() + text[at:]
}

// argumentsIn returns the beginning of text that still belongs to the command before it.
func argumentsIn(text string) string {
	if i := strings.IndexAny(text, ";,)\n"); i >= 0 {
		text = text[:i]
	}
	text, _, _ = strings.Cut(text, ": ")
	return text
}

// flags returns this call's place flags that differ from a verb's defaults, except those that arguments already name.
func (s *self) flags(defaults map[string]string, arguments string) (out string) {
	for _, name := range placeFlags {
		value, given := s.place[name]
		usual, takes := defaults[name]
		if given && takes && value != usual && !strings.Contains(arguments, "--"+name) {
			out += " --" + name + " " + quoted(withoutPassword(value))
		}
	}
	return out
}

// lookAt records the place flags of this call that differ from their defaults.
func (s *self) lookAt(set *pflag.FlagSet) {
	s.place = map[string]string{}
	for _, name := range placeFlags {
		if f := set.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			s.place[name] = f.Value.String()
		}
	}
}

var userInfo = regexp.MustCompile(`://([^:/@\s]+):[^@/\s]+@`)

// withoutPassword replaces the password of a URL, which must not get into a log.
func withoutPassword(url string) string { return userInfo.ReplaceAllString(url, "://$1:PASSWORD@") }

var plain = regexp.MustCompile(`^[\w@%+=:,./~-]+$`)

// quoted returns word, quoted for a shell if needed.
func quoted(word string) string {
	if plain.MatchString(word) || os.PathSeparator == '\\' {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
