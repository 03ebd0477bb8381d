package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestAGameThatCannotBeServedEndsTheNode: the error names the field, and nothing was opened or written.
func TestAGameThatCannotBeServedEndsTheNode(t *testing.T) {
	type place struct {
		X float64 `wind:"quant=1"`
	}
	game := ecs.Game{Name: "wrong", TickRate: 30, Setup: func(w *ecs.World) { ecs.Component[place](w, "place", ecs.Spatial) }}
	data := filepath.Join(t.TempDir(), "data")
	n, err := Start(t.Context(), Config{Game: game, Data: data, UDP: "127.0.0.1:0"})
	if err == nil {
		t.Fatal("the node runs", n.Stop())
	}
	for _, part := range []string{"place", "X", "quant"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %q", part, err)
		}
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("a data directory was made")
	}
}
