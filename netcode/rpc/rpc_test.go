package rpc_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

func TestNumbersNameEverythingThatIsPinned(t *testing.T) {
	lines := rpc.Numbers(wrapperspb.File_google_protobuf_wrappers_proto, wirepb.File_wirepb_wire_proto)
	for _, want := range []string{"StringValue.value is 1, optional string", "Hello has id 2001"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

func TestCodesAreFoundByTheirNames(t *testing.T) {
	if c, err := rpc.CodeNamed("not_found"); err != nil || c != rpc.NotFound {
		t.Errorf("not_found is %v, %v", c, err)
	}
	for name, want := range map[string]string{"not_fund": `did you mean "not_found"`, "ok": "the codes are aborted, already_exists", "": "the codes are aborted"} {
		if _, err := rpc.CodeNamed(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", name, err, want)
		}
	}
}

func TestAnErrorWithoutATextOfItsOwnIsItsCode(t *testing.T) {
	for want, e := range map[string]rpc.Error{
		"invalid argument":                                   {Code: rpc.InvalidArgument},
		"internal (it may have been executed)":               {Code: rpc.Internal, Text: "internal", Maybe: true},
		"not found: no axe":                                  {Code: rpc.NotFound, Text: "no axe"},
		"unavailable: no answer (it may have been executed)": {Code: rpc.Unavailable, Text: "no answer", Maybe: true},
	} {
		if e.Error() != want {
			t.Errorf("it reads %q, want %q", e.Error(), want)
		}
	}
}

func TestAnEmptyPayloadIsAnEmptyMessage(t *testing.T) {
	for _, f := range []rpc.Format{rpc.Protobuf, rpc.JSON} {
		m := &wirepb.Open{Coalesce: true}
		if err := rpc.Decode(f, nil, m); err != nil || m.Coalesce {
			t.Errorf("%s: %v, %v", f, m, err)
		}
	}
	if got := rpc.AnswerName("RoleRequest") + rpc.AnswerName("Role"); got != "RoleResponseRoleResponse" {
		t.Error(got)
	}
}

func TestATextRepeatsNoCode(t *testing.T) {
	inner := rpc.Errorf(rpc.InvalidArgument, "a greeting needs a text")
	inner.Maybe = true
	for _, c := range []struct {
		err  *rpc.Error
		want string
	}{
		{rpc.Errorf(rpc.InvalidArgument, "%v", inner), "invalid argument: a greeting needs a text (it may have been executed)"},
		{rpc.NotBegun(rpc.InvalidArgument, "the payload: %v", inner), "invalid argument: the payload: a greeting needs a text (it may have been executed)"},
		{rpc.Errorf(rpc.Unavailable, "%v", inner), "unavailable: invalid argument: a greeting needs a text (it may have been executed)"},
	} {
		if c.err.Error() != c.want {
			t.Errorf("%q, want %q", c.err, c.want)
		}
	}
}
