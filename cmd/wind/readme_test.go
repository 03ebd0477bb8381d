package main

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// TestReadmePlaysAMatch runs the commands of the README's chapter on rooms, as they stand there but for the addresses and the length of
// the match.
func TestReadmePlaysAMatch(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a Unix shell")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(readme), "## Rooms")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(chapter, -1)
	if len(blocks) != 2 {
		t.Fatalf("the chapter on rooms has %d blocks of commands", len(blocks))
	}
	quick := strings.Replace(blocks[1][1], `"match":15`, `"match":3`, 1)
	if quick == blocks[1][1] {
		t.Fatal("the match no longer lasts 15 s")
	}
	t.Chdir(t.TempDir())
	at := nodetest.Addr(t)
	for name, value := range map[string]string{"WIND_TEST_BINARY": "1", "WIND_UDP": at, "WIND_TCP": at, "WIND_HTTP": "127.0.0.1:0", "WIND_ADDR": at, "wind": os.Args[0]} {
		t.Setenv(name, value)
	}
	dev := wind(t, strings.Fields(strings.TrimPrefix(strings.TrimSpace(blocks[0][1]), "go run ./cmd/wind "))...)
	shell := func(line string) (string, error) {
		out, err := exec.Command("sh", "-c", strings.Replace(line, "go run ./cmd/wind", `"$wind"`, 1)).CombinedOutput()
		return string(out), err
	}
	for _, line := range strings.Split(strings.TrimSpace(quick), "\n") {
		var out string
		dev.until("lets this succeed: "+line, func() bool { // a person is slower than the node and its archive
			var err error
			out, err = shell(line)
			return err == nil && (!strings.Contains(line, "room show") || strings.Contains(out, "archives"))
		})
		t.Log(line, "\n", out)
		switch {
		case strings.Contains(line, "room create") && !strings.Contains(out, "r-at3gmif4z5uvptwpqixwbd46 runs on node"),
			strings.Contains(line, " bots ") && !strings.Contains(out, "10 bots sent"),
			strings.Contains(line, "room show") && (!strings.Contains(out, "with arena.result") || !strings.Contains(out, "bot-7")),
			strings.Contains(line, "replay") && !strings.Contains(out, "replayed"),
			strings.Contains(line, "room list") && !strings.Contains(out, "archives"):
			t.Errorf("%s\n%s", line, out)
		}
	}
	dev.stop()
}
