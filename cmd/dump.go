package cmd

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// dumpWorld prints every entity with its components, in the order of tables and rows.
func dumpWorld(out io.Writer, w *ecs.World) error {
	b := bufio.NewWriter(out)
	for i, r := range w.Schema().Resources {
		fmt.Fprintf(b, "%s%s\n", r.Name, r.Format(packRow(&r, w.ResourceColumn(i).Data)))
	}
	for _, t := range w.Tables() {
		for row, e := range t.Entities() {
			fmt.Fprintf(b, "%s %s\n", e, componentsOf(w, t, row))
		}
	}
	return b.Flush()
}

// entityLine returns the components of one entity as dumpWorld prints them; false if the world has no such entity.
func entityLine(w *ecs.World, wanted ecs.Entity) (string, bool) {
	for _, t := range w.Tables() {
		if row := slices.Index(t.Entities(), wanted); row >= 0 {
			return componentsOf(w, t, row), true
		}
	}
	return "", false
}

func componentsOf(w *ecs.World, t *ecs.Table, row int) string {
	var parts []string
	for i := range w.Schema().Components {
		if c, ok := t.Column(i); ok {
			typ := &w.Schema().Components[i]
			parts = append(parts, typ.Name+typ.Format(packRow(typ, c.Data[row*c.Stride:(row+1)*c.Stride])))
		}
	}
	return strings.Join(parts, " ")
}

// packRow converts a row from memory layout to the packed layout that Type.Format takes.
func packRow(t *ecs.Type, row []byte) []byte {
	packed := make([]byte, t.Packed)
	for i := range t.Fields {
		f := &t.Fields[i]
		copy(packed[f.PackedOffset:f.PackedOffset+f.Count*f.Width], row[f.Offset:])
	}
	return packed
}
