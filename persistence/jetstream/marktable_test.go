package jetstream

import (
	"fmt"
	"os"
	"testing"

	"github.com/ferris1/wind/persistence"
)

// TestMarksOfAPartition: all logs of a partition keep their marks in one file, in places that are used again.
func TestMarksOfAPartition(t *testing.T) {
	const stream = "WIND_dev_R3"
	dir := t.TempDir()
	refs := make([]Ref, 5)
	var server *Server
	from := func(seq persistence.Seq) func() (persistence.Seq, error) {
		return func() (persistence.Seq, error) { return seq, nil }
	}
	open := func() (*markTable, []*markFile) {
		server = startServer(t, ServerConfig{Dir: dir, Port: -1})
		table, err := server.marks(stream)
		if again, againErr := server.marks(stream); err != nil || againErr != nil || again != table {
			t.Fatal("a server opens the file twice", err, againErr)
		}
		var all []*markFile
		for i := range refs {
			refs[i] = Ref{"dev", fmt.Sprintf("room-%d", i), fmt.Sprintf("lineage-%d", i)}
			m, err := table.mark(refs[i], from(1))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return table, all
	}
	_, marks := open()
	for i, m := range marks {
		m.reached(persistence.Seq(10+i), uint64(8+i), persistence.Hash{byte(i)}, uint64(100+i))
		m.purges(persistence.Seq(i))
	}
	server.Close()

	table, marks := open()
	for i, m := range marks {
		want := mark{seq: persistence.Seq(10 + i), tick: uint64(8 + i), floor: persistence.Seq(max(i, 1)), hash: persistence.Hash{byte(i)}, lineage: refs[i].Lineage, shard: refs[i].Shard, at: uint64(100 + i)}
		if m.now != want {
			t.Errorf("%+v, want %+v", m.now, want)
		}
	}
	if again, err := table.mark(refs[2], from(1)); err != nil || again != marks[2] {
		t.Error("two handles of one log have different marks", err)
	}
	table.remove(refs[2].Lineage)
	other, err := table.mark(Ref{"dev", "room-9", "lineage-9"}, from(4))
	if err != nil {
		t.Fatal(err)
	}
	other.reached(7, 5, persistence.Hash{9}, 200)
	marks[2].reached(99, 99, persistence.Hash{2}, 300) // of the log that was removed
	for range 2 {
		marks[2].close()
	}
	server.Close()

	all, damaged, err := readMarks(dir, stream)
	if err != nil || damaged != 0 || len(all) != len(refs) {
		t.Fatal(all, damaged, err)
	}
	if all[2].lineage != "lineage-9" || all[2].seq != 7 || all[2].floor != 4 {
		t.Errorf("the free place has %+v", all[2])
	}
	flip(t, markPath(dir, stream), slotSize+30, 4)
	if err := os.Truncate(markPath(dir, stream), 5*slotSize-1); err != nil {
		t.Fatal(err)
	}
	if all, damaged, err = readMarks(dir, stream); err != nil || damaged != 2 || len(all) != 3 {
		t.Fatal(all, damaged, err)
	}
	_, marks = open()
	if marks[1].now.seq != 0 || marks[3].now.seq != 13 {
		t.Errorf("%+v", marks)
	}
}
