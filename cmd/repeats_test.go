package cmd

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLinesThatRepeatAreCounted: fifty bots that cannot connect log four lines in five seconds, not four hundred. Other
// lines are shown in between, and lines held back at the end are shown then.
func TestLinesThatRepeatAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		h := newRepeats(slog.NewTextHandler(&out, nil))
		log := slog.New(h)
		for round := range 8 {
			for bot := range 50 {
				log.With("identity", fmt.Sprintf("bot-%d", bot)).Info("connecting again", "round", round)
			}
			if round == 3 {
				log.Info("something else")
			}
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := strings.Count(out.String(), "connecting again"); n != repeatsShown+1 {
			t.Errorf("400 lines are shown as %d", n)
		}
		if !strings.Contains(out.String(), `"connecting again" identity=bot-49 round=7 repeated=397`) || !strings.Contains(out.String(), "something else") {
			t.Errorf("it shows\n%s", out.String())
		}
		out.Reset()
		for range 5 {
			log.Info("connecting again")
		}
		h.close()
		if !strings.HasSuffix(out.String(), "repeated=2\n") || strings.Count(out.String(), "\n") != repeatsShown+1 {
			t.Errorf("at the end it shows\n%s", out.String())
		}
		time.Sleep(2 * repeatsWithin) // its timer
	})
}
