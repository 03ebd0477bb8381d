package cmd

import (
	"testing"

	"github.com/ferris1/wind/cmd/node"
)

// TestAReloadOfAServiceWithoutScriptsSaysSo: its handlers are in another language, or the folder is another one.
func TestAReloadOfAServiceWithoutScriptsSaysSo(t *testing.T) {
	dir := t.TempDir()
	a := &app{program: &program{scriptDir: dir}}
	for from, want := range map[string]string{
		"":  "reload: oracle has no scripts: there is no folder oracle in " + dir + ". Handlers in Go and in Python cannot be reloaded; --scripts names another folder",
		dir: "reload: oracle has no scripts: there is no folder oracle in " + dir,
	} {
		if _, err := a.modules(from, "oracle", nil); err == nil || err.Error() != want {
			t.Errorf("from %q: %v, want %s", from, err, want)
		}
	}
}

// TestAReloadOfSomeModulesDoesNotSayHowManyAreInForce: the others still are.
func TestAReloadOfSomeModulesDoesNotSayHowManyAreInForce(t *testing.T) {
	r := node.Reloaded{Modules: 1, Instances: []string{"mail-1"}}
	dry := r
	dry.DryRun = true
	for want, got := range map[string][]string{
		"1 module in force in mail-1":          reloadLines(r, false, true),
		"1 module reloaded in mail-1":          reloadLines(r, false, false),
		"1 module would be in force in mail-1": reloadLines(dry, false, true),
		"1 module would be reloaded in mail-1": reloadLines(dry, false, false),
	} {
		if got[0] != want {
			t.Errorf("it says %q, want %q", got[0], want)
		}
	}
}
