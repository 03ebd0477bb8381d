// Command windvet reports what could make a Wind simulation differ between runs, machines or builds.
//
//	go install github.com/ferris1/wind/cmd/windvet@latest
//	windvet ./...                                # or
//	go vet -vettool=$(which windvet) ./...
//	windvet -fix ./...                           # round the products it reports
//
// Package [github.com/ferris1/wind/cmd/windvet/analyzer] lists the rules and their remedies; windvet help prints them.
// windvet exits with 0 if it finds nothing and with 1 otherwise.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/ferris1/wind/cmd/windvet/analyzer"
)

func main() {
	if asVettool(os.Args[1:]) {
		unitchecker.Main(analyzer.Analyzer) // never returns
	}
	os.Exit(standalone(os.Args[1:]))
}

// asVettool reports whether go vet is the caller: it asks for -V=full and -flags, then passes a .cfg for each package.
func asVettool(args []string) bool {
	if len(args) == 0 {
		return false
	}
	last := args[len(args)-1]
	return strings.HasPrefix(args[0], "-V=") || args[0] == "-flags" || args[0] == "help" || strings.HasSuffix(last, ".cfg")
}

// standalone runs go vet, which loads the packages and calls this program back, so that both ways give the same
// findings.
func standalone(args []string) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "windvet: cannot find its own file:", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	cmd := exec.Command("go", append([]string{"vet", "-vettool=" + self}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, "windvet: cannot run the go command:", err)
		return 1
	}
	return 0
}
