package cmd

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// dumpWorld prints every entity with its components, in the order of tables and rows.
func dumpWorld(out io.Writer, w *ecs.World) error {
	b := bufio.NewWriter(out)
	for i, r := range w.Schema().Resources {
		fmt.Fprintf(b, "%s %s\n", r.Name, r.Format(packRow(&r, w.ResourceColumn(i).Data)))
	}
	for _, t := range w.Tables() {
		for row, e := range t.Entities() {
			var parts []string
			for i := range w.Schema().Components {
				if c, ok := t.Column(i); ok {
					typ := &w.Schema().Components[i]
					parts = append(parts, typ.Name+typ.Format(packRow(typ, c.Data[row*c.Stride:(row+1)*c.Stride])))
				}
			}
			fmt.Fprintf(b, "%s %s\n", e, strings.Join(parts, " "))
		}
	}
	return b.Flush()
}

// packRow copies a row in memory layout into the packed layout that Type.Format takes.
func packRow(t *ecs.Type, row []byte) []byte {
	packed := make([]byte, t.Packed)
	for i := range t.Fields {
		f := &t.Fields[i]
		copy(packed[f.PackedOffset:f.PackedOffset+f.Count*f.Width], row[f.Offset:])
	}
	return packed
}
