package ecs

import "testing"

func TestADifferenceNeverShowsOneValueTwice(t *testing.T) {
	typ := &Type{Fields: []Field{{Path: "Name", Kind: KindText, Count: 1, Width: 4}}}
	d := comparison{}
	d.fields(Difference{What: "resource", Name: "tag"}, typ, []byte{1, 'a', 0, 0}, []byte{1, 'a', 0, 9})
	if len(d.all) != 1 || d.all[0].Have == d.all[0].Other {
		t.Errorf("%+v", d.all)
	}
}
