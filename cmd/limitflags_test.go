package cmd

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode"
)

func TestLimitsAreGivenByName(t *testing.T) {
	var f limitsFlag
	if err := f.Set("sessions-per-address=1000,joins-per-identity=-1"); err != nil || f.limits.SessionsPerAddress != 1000 || f.limits.JoinsPerIdentity != -1 {
		t.Errorf("%v, %+v", err, f.limits)
	}
	for text, want := range map[string]string{
		"sessions=3":             `there is no limit "sessions"`,
		"sessions-per-address":   "is not NAME=N",
		"sessions-per-address=0": "N of 1 to 1000000000, or -1",
		"sessions-per-address=x": "is not NAME=N",
	} {
		if err := f.Set(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--limit %s: %v, want %q", text, err, want)
		}
	}
}

func TestDevMakesRoomForItsOwnBots(t *testing.T) {
	var few, many netcode.Limits
	makeRoom(&few, 50)
	makeRoom(&many, 2000)
	if few.SessionsPerAddress != 306 || many.SessionsPerAddress < 2000 || many.JoinsPerAddress < 2000 || many.ConnectionsPerAddress < 2000 {
		t.Errorf("%+v, %+v", few, many)
	}
	given := netcode.Limits{SessionsPerAddress: 10}
	if makeRoom(&given, 2000); given.SessionsPerAddress != 10 {
		t.Errorf("what was given is changed to %d", given.SessionsPerAddress)
	}
}
