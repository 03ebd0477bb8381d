package cmd

import "testing"

func TestSizesAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]int64{
		"8GiB": 8 << 30, "500MB": 500e6, "64 MiB": 64 << 20, "1.5GiB": 3 << 29, "1048576": 1 << 20, "2TiB": 2 << 40, "1048576B": 1 << 20,
	} {
		b := byteSize{least: 1 << 20}
		if err := b.Set(text); err != nil || b.bytes != want {
			t.Errorf("%s is read as %d, %v; want %d", text, b.bytes, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1GiB", "8 gigs", "NaN", "1e30GiB", "100KiB"} {
		b := byteSize{least: 1 << 20}
		if err := b.Set(text); err == nil {
			t.Errorf("%q is read as %d bytes", text, b.bytes)
		}
	}
	if b := (byteSize{bytes: 8 << 30}); b.String() != "8GiB" {
		t.Errorf("8 GiB is written as %s", b.String())
	}
}
