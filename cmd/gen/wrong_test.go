package gen

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const head = `syntax = "proto3";
package p;
import "wirepb/wire.proto";
option go_package = "example.com/p";
`

// loadText loads one file whose schema begins with head, which takes four lines.
func loadText(t *testing.T, name, text string, server ...string) (*Schema, string, error) {
	t.Helper()
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, name), head+text)
	s, err := Load(context.Background(), Source{Protos: []string{path}, Include: []string{dir}, Server: server})
	return s, filepath.ToSlash(path), err
}

func TestProblemsAreToldWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"syntax", "message A {\n  string s = ;\n}\n", ":6:14: syntax error"},
		{"unknown type", "message A {\n  B b = 1;\n}\n", ":6:3: field p.A.b: unknown type B"},
		{"shared id", "message A { option (wind.id) = 5; }\nmessage B { option (wind.id) = 5; }\n", ":6:1: B has the id 5 of A (PATH:5)"},
		{"shared id inside", "message A {\n  message C { option (wind.id) = 5; }\n  option (wind.id) = 5; }\n", ":6:3: C has the id 5 of A (PATH:5)"},
		{"missing id", "message ARequest {}\n", ":5:1: ARequest has no id"},
		{"missing id of an answer", "message ARequest { option (wind.id) = 5; }\n  message AResponse {}\n", ":6:3: AResponse has no id"},
		{"first reserved id", "message A { option (wind.id) = 2001; }\n", ":5:1: A has the id 2001: 2001 to 2199 are Wind's own"},
		{"last reserved id", "message A { option (wind.id) = 2199; }\n", ":5:1: A has the id 2199: 2001 to 2199 are Wind's own"},
		{"id with the call's bit", "message A { option (wind.id) = 0x80000000; }\n", ":5:1: A has the id 2147483648: ids end below 2^31"},
		{"heartbeat's id", "message A { option (wind.id) = 101; }\n", ":5:1: A has the id 101, which is HeartbeatRequest's"},
		{"misspelled answer", "message ARequest { option (wind.id) = 5; }\nmessage AReponse { option (wind.id) = 6; }\n", ":6:1: AReponse is not the answer of ARequest, which would be AResponse"},
		{"answer in another case", "message MoveRequest { option (wind.id) = 5; }\nmessage Moveresponse { option (wind.id) = 6; }\n", ":6:1: Moveresponse is not the answer of MoveRequest"},
		{"import that is not there", "import \"no.proto\";\n", ":5:8: no.proto is not in any of the import folders"},
		{"import that leads out", "import \"../no.proto\";\n", ":5:8: \"../no.proto\" leads out of the import folders"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, path, err := loadText(t, "p.proto", c.text)
			var problems *Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error %v is not a list of problems", err)
			}
			if want := path + strings.ReplaceAll(c.want, "PATH", path); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %q, want %q…", err, want)
			}
		})
	}
}

func TestIDsAtTheEdgesAreFree(t *testing.T) {
	_, _, err := loadText(t, "p.proto", "message A { option (wind.id) = 2000; }\nmessage B { option (wind.id) = 2200; }\nmessage C { option (wind.id) = 0x7fffffff; }\n")
	if err != nil {
		t.Error(err)
	}
}

func TestAMessageWithoutAnAnswerMayHaveRelatives(t *testing.T) {
	_, _, err := loadText(t, "p.proto", "message MoveRequest { option (wind.id) = 5; }\nmessage MoveEvent {}\nmessage MoverRequest { option (wind.id) = 7; }\nmessage MoverResponse { option (wind.id) = 6; }\nmessage Move {}\n")
	if err != nil {
		t.Error(err)
	}
}

func TestAllProblemsAreToldInOrder(t *testing.T) {
	_, path, err := loadText(t, "p.proto", strings.Repeat("message A\n{}\n", 1)+"message ZRequest {}\nmessage BRequest {}\n")
	if err == nil || strings.Count(err.Error(), path) != 2 || strings.Index(err.Error(), "ZRequest") > strings.Index(err.Error(), "BRequest") {
		t.Errorf("error %v", err)
	}
	var many strings.Builder
	for i := range maxProblems + 5 {
		many.WriteString("message " + strings.Repeat("A", i+1) + "Request {}\n")
	}
	_, _, err = loadText(t, "p.proto", many.String())
	if err == nil || strings.Count(err.Error(), "\n") != maxProblems || !strings.HasSuffix(err.Error(), "and 5 more") {
		t.Errorf("error %v", err)
	}
}

func TestWhoseAMessageIs(t *testing.T) {
	const text = "message ARequest { option (wind.id) = 5; }\nmessage S_BRequest {}\nmessage CRequest { option (wind.id) = 7; }\n"
	for _, c := range []struct {
		path           string
		client, server []string
	}{
		{"p.proto", []string{"ARequest"}, []string{"S_BRequest", "CRequest"}},
		{"servers/p.proto", nil, []string{"ARequest", "S_BRequest", "CRequest"}},
		{"api/GameServer.proto", nil, []string{"ARequest", "S_BRequest", "CRequest"}},
	} {
		s, _, err := loadText(t, c.path, text, "CRequest")
		if err != nil {
			t.Fatal(err)
		}
		for server, want := range map[bool][]string{false: c.client, true: c.server} {
			var have []string
			for _, m := range s.files[0].handled(server) {
				have = append(have, m.name())
			}
			if !slices.Equal(have, want) {
				t.Errorf("%s, server %v: %v, want %v", c.path, server, have, want)
			}
		}
	}
	if _, _, err := loadText(t, "p.proto", text, "DRequest"); err == nil || !strings.Contains(err.Error(), `no message is named "DRequest"`) {
		t.Errorf("error %v", err)
	}
}

func TestMessagesOfOneNameAreRefused(t *testing.T) {
	dir := t.TempDir()
	text := "syntax = \"proto3\";\nimport \"wirepb/wire.proto\";\n"
	a := put(t, filepath.Join(dir, "a.proto"), text+"package a;\nmessage ARequest { option (wind.id) = 5; }\n")
	b := put(t, filepath.Join(dir, "b.proto"), text+"package b;\nmessage ARequest { option (wind.id) = 6; }\n")
	_, err := Load(context.Background(), Source{Protos: []string{a, b}, Include: []string{dir}})
	if want := filepath.ToSlash(b) + ":4:1: b.ARequest has the same short name as a.ARequest (" + filepath.ToSlash(a) + ":4)"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s…", err, want)
	}
}

func TestGoNeedsAPackageAndNamesThatItCanHave(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "p.proto"), "syntax = \"proto3\";\nimport \"wirepb/wire.proto\";\nmessage ARequest { option (wind.id) = 5; }\n")
	s, err := Load(context.Background(), Source{Protos: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(dir, Go); err == nil || !strings.Contains(err.Error(), `p.proto:1:1: option go_package = "…" is missing`) {
		t.Errorf("error %v", err)
	}
	for _, c := range []struct{ text, want string }{
		{"message aRequest { option (wind.id) = 5; }\n", ":5:1: message aRequest begins with a lower-case letter"},
		{"message ARequest { option (wind.id) = 5; }\nmessage PClient {}\n", ":6:1: message PClient has the same name as a type"},
		{"message S_A {}\nmessage S_ARequest {}\n", ":6:1: callers of S_A and S_ARequest would both need a method S_A"},
	} {
		s, _, err := loadText(t, "p.proto", c.text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Generate(t.TempDir(), Go); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %s…", err, c.want)
		}
	}
}

func TestConstantsOfPython(t *testing.T) {
	for name, want := range map[string]string{
		"PlayerLoginRequest": "PLAYER_LOGIN_REQUEST", "S_PlayerRegister": "S_PLAYER_REGISTER", "HTTPRequest": "HTTP_REQUEST", "Vector3Request": "VECTOR3_REQUEST", "a": "A",
	} {
		if have := constant(name); have != want {
			t.Errorf("constant(%q) = %q, want %q", name, have, want)
		}
	}
}
