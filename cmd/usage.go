package cmd

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// misspelled returns an error if args name a verb that does not exist, with the nearest names.
func misspelled(root *cobra.Command, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "__") {
		return nil // a completion script calls
	}
	c, rest, _ := root.Find(args) // this function writes a better error than Find's
	word := firstWord(c, rest)
	if !c.HasSubCommands() || word == "" {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			names = append(names, sub.Name())
		}
	}
	if c == root {
		return fmt.Errorf("there is no verb %q%s (%s --help lists them)", word, didYouMean("", nearest(word, names)), root.CommandPath())
	}
	return fmt.Errorf("%s: there is no verb %q%s (the verbs are %s)", pathOf(c), word, didYouMean("", nearest(word, names)), strings.Join(names, ", "))
}

// firstWord returns the first argument that is neither a flag nor a flag's value.
func firstWord(c *cobra.Command, args []string) string {
	for i := 0; i < len(args); i++ {
		name, isLong := strings.CutPrefix(args[i], "--")
		switch {
		case args[i] == "--" || args[i] == "":
			return ""
		case isLong:
			if f := c.Flag(name); f != nil && f.NoOptDefVal == "" {
				i++
			}
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return ""
}

// asHelp turns "help VERB" into "VERB --help", so that an unknown verb gets the same error everywhere.
func asHelp(args []string) []string {
	if len(args) > 0 && args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// pathOf returns a verb without the program's name: "log check" for wind log check.
func pathOf(c *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), c.Root().CommandPath()), " ")
}

// positional checks args against c.Use: NAME is required, [NAME] is optional, [NAME...] may be repeated.
func positional(c *cobra.Command, args []string) error {
	var needed, all []string
	endless := false
	for _, word := range strings.Fields(c.Use)[1:] {
		all = append(all, strings.Trim(word, "[]."))
		if !strings.HasPrefix(word, "[") {
			needed = append(needed, word)
		}
		endless = endless || strings.HasSuffix(word, "...]")
	}
	usage := strings.TrimSuffix(c.UseLine(), " [flags]")
	for i, arg := range args {
		if strings.TrimSpace(arg) == "" && (endless || i < len(all)) {
			return fmt.Errorf("%s: %s is empty: %s", pathOf(c), all[min(i, len(all)-1)], usage)
		}
	}
	switch {
	case len(args) < len(needed):
		missing, is := needed[len(args):], "is"
		if len(missing) > 1 {
			is = "are"
		}
		return fmt.Errorf("%s: %s %s missing: %s", pathOf(c), strings.Join(missing, " and "), is, usage)
	case endless || len(args) <= len(all):
		return nil
	case detached(c, args[len(all)]) != "":
		return fmt.Errorf("%s: %q is one argument too many: to give it to a flag, write %s", pathOf(c), args[len(all)], detached(c, args[len(all)]))
	case len(all) == 0:
		return fmt.Errorf("%s: %q is one argument too many: this verb takes only flags", pathOf(c), args[0])
	}
	return fmt.Errorf("%s: %q is one argument too many: %s", pathOf(c), args[len(all)], usage)
}

// detached returns how to write an argument that is the value of a flag before it: --purge never sets --purge alone, since that
// flag needs no value. It returns "" if no such flag takes the argument.
func detached(c *cobra.Command, arg string) (written string) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.NoOptDefVal == "" || written != "" {
			return
		}
		if was := f.Value.String(); f.Value.Set(arg) == nil {
			written = fmt.Sprintf("--%s=%s", f.Name, arg)
			_ = f.Value.Set(was) // it was accepted before
		}
	})
	return written
}

// flagError rewords pflag's error about a flag.
func flagError(c *cobra.Command, err error) error {
	verb := pathOf(c)
	if verb != "" {
		verb += ": "
	}
	var unknown *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s%s (%s --help lists them)", verb, unknownFlag(c, unknown), c.CommandPath())
	case errors.As(err, &valueless):
		return fmt.Errorf("%s--%s needs a value: %s", verb, valueless.GetFlag().Name, valueless.GetFlag().Usage)
	case errors.As(err, &invalid):
		return fmt.Errorf("%s%s", verb, wrongValue("--"+invalid.GetFlag().Name, invalid.GetFlag(), invalid.GetValue(), invalid.Unwrap()))
	case errors.As(err, &syntax):
		return fmt.Errorf("%s%q is not a flag: flags are written --name or --name=value", verb, syntax.GetSpecifiedFlag())
	}
	return fmt.Errorf("%s%w", verb, err)
}

// unknownFlag names a flag that a verb does not have, and the flags that it may be a slip for.
func unknownFlag(c *cobra.Command, e *pflag.NotExistError) string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	short := e.GetSpecifiedShortnames()
	if short == "" {
		return fmt.Sprintf("there is no flag --%s%s", e.GetSpecifiedName(), didYouMean("--", nearest(e.GetSpecifiedName(), names)))
	}
	if long, _, _ := strings.Cut(short, "="); c.Flag(long) != nil { // -bots
		return fmt.Sprintf("there is no flag -%s%s", long, didYouMean("--", []string{long}))
	}
	return fmt.Sprintf("there is no flag -%s", e.GetSpecifiedName())
}

// wrongValue says why a flag, or its environment variable (name), does not accept value.
func wrongValue(name string, f *pflag.Flag, value string, cause error) string {
	var number *strconv.NumError
	wants := map[string]string{
		"int": "a whole number", "int64": "a whole number", "uint64": "a whole number of 0 or more", "float64": "a number", "bool": "true or false",
		"intSlice": "a list of whole numbers, comma-separated",
	}[f.Value.Type()]
	switch {
	case f.Value.Type() == "duration" && tooLong(value):
		return fmt.Sprintf("%s %s is too large: the most is %dh", name, value, int64(math.MaxInt64/time.Hour))
	case f.Value.Type() == "duration" && !isDuration(value):
		return fmt.Sprintf("%s %q is not a duration: write it with a unit, such as 500ms, 10s or 5m", name, value)
	case f.Value.Type() == "duration":
		return fmt.Sprintf("%s %s: %v", name, value, cause)
	case errors.As(cause, &number) && errors.Is(number.Err, strconv.ErrRange):
		return fmt.Sprintf("%s %s is too large", name, value)
	case wants != "":
		return fmt.Sprintf("%s %q is not %s", name, value, wants)
	}
	return fmt.Sprintf("%s: %v", name, cause)
}

func isDuration(text string) bool {
	_, err := time.ParseDuration(text)
	return err == nil
}

var durationForm = regexp.MustCompile(`^[+-]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$`)

// tooLong reports whether text is written as a duration, but as one that does not fit.
func tooLong(text string) bool { return durationForm.MatchString(text) && !isDuration(text) }

// didYouMean returns ": did you mean --a or --b?", or "" without names.
func didYouMean(prefix string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ": did you mean " + prefix + strings.Join(names, " or "+prefix) + "?"
}

// nearest returns at most three names that word may be a slip for, the nearest first: at most a third of its letters differ,
// or the names begin like it.
func nearest(word string, names []string) (near []string) {
	word = strings.ToLower(word)
	within := max(1, (len(word)+1)/3)
	for d := 0; d <= within; d++ {
		for _, name := range names {
			if distance(word, name) == d {
				near = append(near, name)
			}
		}
	}
	for _, name := range names {
		if (len(word) > 1 && strings.HasPrefix(name, word) || common(name, word) > 4) && !slices.Contains(near, name) {
			near = append(near, name)
		}
	}
	return near[:min(3, len(near))]
}

// common returns the length of two words' common prefix.
func common(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// distance returns how many letters must be inserted, removed, changed or swapped with their neighbour to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
