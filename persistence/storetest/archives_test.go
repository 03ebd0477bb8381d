package storetest

import (
	"testing"

	"github.com/ferris1/wind/persistence"
)

func TestAFolderKeepsArchives(t *testing.T) {
	f, err := persistence.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var _ persistence.Archives = f
	RunArchives(t, f)
}
