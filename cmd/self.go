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

// self is how the program that runs is called, and where its call looks. Texts name commands as "wind VERB …", in
// errors, log lines, conditions and help alike; spell turns them into commands that work when they are pasted where the
// text is read: with the program's own name, and with the flags of this call that are not the defaults of the verb named.
// Once learn and lookAt are done its methods may be called concurrently.
type self struct {
	program string                       // as a shell calls it: ./mygame, wind, go run ./cmd/wind
	name    string                       // its last part
	verbs   map[string]map[string]string // path of a verb → those of its flags that are in placeFlags → default
	place   map[string]string            // of this call: flag of placeFlags → value
}

// newSelf is the program that was called as arg0.
func newSelf(arg0 string) *self {
	return &self{program: calledAs(arg0), name: strings.TrimSuffix(filepath.Base(arg0), ".exe")}
}

// placeFlags say where a call looks, in the order in which a command names them.
var placeFlags = []string{"data", "nats", "etcd", "cluster", "shard", "game"}

// gameless verbs do the same for every game.
var gameless = []string{"infra", "ps", "call", "drain", "shard", "gen", "init"}

// learn takes in the verbs of the program, and spells their help.
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

// spellHelp spells the help of a verb and of all that are in it, and lets them take the arguments that it names.
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

// calledAs is what to type to run the program again. go run removes what it built, so there it is go run with the package.
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

// aCommand finds a command of the program in a text, with what stands before it.
var aCommand = regexp.MustCompile(`(^|[^\w/.\\-])wind ([a-z]+)( [a-z][a-z-]*)?`)

// spell returns text with the commands in it as they are to be typed here.
func (s *self) spell(text string) string { return s.respell(text, true) }

// respell is spell; help has no use for the flags of this call.
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

// argumentsIn is the part of a text that still belongs to the command before it.
func argumentsIn(text string) string {
	if i := strings.IndexAny(text, ";,)\n"); i >= 0 {
		text = text[:i]
	}
	text, _, _ = strings.Cut(text, ": ")
	return text
}

// flags are those of this call that lead a verb elsewhere than its defaults do, but for those that its arguments name.
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

// lookAt remembers where a call looks that does not look where its verb does by default.
func (s *self) lookAt(set *pflag.FlagSet) {
	s.place = map[string]string{}
	for _, name := range placeFlags {
		if f := set.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			s.place[name] = f.Value.String()
		}
	}
}

var userInfo = regexp.MustCompile(`://([^:/@\s]+):[^@/\s]+@`)

// withoutPassword hides what a log must not hold.
func withoutPassword(url string) string { return userInfo.ReplaceAllString(url, "://$1:PASSWORD@") }

var plain = regexp.MustCompile(`^[\w@%+=:,./~-]+$`)

// quoted is a word of a command line.
func quoted(word string) string {
	if plain.MatchString(word) || os.PathSeparator == '\\' {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
