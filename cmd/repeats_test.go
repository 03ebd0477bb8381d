package cmd

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
	"github.com/ferris1/wind/systems/script"
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
		if !strings.Contains(out.String(), `"connecting again" identity=bot-49 round=7 repeated=397 varies=identity`) || !strings.Contains(out.String(), "something else") {
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

// TestDifferentErrorsAreNotMerged: four errors of one message are four lines, however often they come; more than can be told
// apart are counted as such, and so is every other text that is left out.
func TestDifferentErrorsAreNotMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		h := newRepeats(slog.NewTextHandler(&out, nil))
		log := slog.New(h)
		failures := []error{errors.New("no field txt"), errors.New("got int"), errors.New("division by zero"), errors.New("on purpose")}
		for player := range 100 {
			for _, err := range failures {
				log.Error("a handler failed", "player", player, "error", err)
			}
		}
		log.Error("a handler failed", "player", 100, "panic", "at last")
		h.close()
		for _, err := range failures {
			if n := strings.Count(out.String(), err.Error()); n != repeatsShown+1 {
				t.Errorf("%q is shown %d times:\n%s", err, n, out.String())
			}
		}
		if !strings.Contains(out.String(), `panic="at last"`) || strings.Count(out.String(), "repeated=97") != len(failures) {
			t.Errorf("it shows\n%s", out.String())
		}
		time.Sleep(2 * repeatsWithin)

		out.Reset()
		for k := range 1000 {
			log.Error("cannot connect", "error", fmt.Errorf("port %d is closed", k))
		}
		h.close()
		if n := strings.Count(out.String(), "\n"); n != repeatsErrors+repeatsShown+1 || !strings.Contains(out.String(), fmt.Sprintf(`"port 999 is closed" repeated=%d varies=error`, 1000-repeatsErrors-repeatsShown)) {
			t.Errorf("1000 errors are shown in %d lines:\n%s", n, out.String())
		}
		time.Sleep(2 * repeatsWithin)
	})
}

// TestLinesOfApplicationsAreNeverMerged: what a handler logs through Ctx.Logger, log or print is its game's data.
func TestLinesOfApplicationsAreNeverMerged(t *testing.T) {
	var out lockedBuilder
	h := newRepeats(slog.NewTextHandler(&out, nil))
	s := servicetest.Start(t, service.Config{
		Files: []protoreflect.FileDescriptor{wrapperspb.File_google_protobuf_wrappers_proto}, Logger: slog.New(h).With("service", "game"),
		Client: []any{chatty{}},
		Scripts: []script.Module{{Name: "handlers_client/a.star", Source: []byte(`
def Handler_StringValue(client, request):
    log("sold", item = request.value)
    print("and said")
`)}},
	})
	for k := range 20 {
		for _, m := range []proto.Message{wrapperspb.String(fmt.Sprintf("axe-%d", k)), wrapperspb.Int64(int64(k))} {
			if _, err := s.Player("ann").Ask(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for line, want := range map[string]int{"msg=sold service=game": 20, `msg="and said" service=game`: 20, "msg=bought service=game": 20, "item=axe-7": 1, "repeated": 0} {
		if n := strings.Count(out.String(), line); n != want {
			t.Errorf("%d lines have %q, want %d:\n%s", n, line, want, out.String())
		}
	}
}

type chatty struct{}

func (chatty) Int64Value(c *service.Ctx, r *wrapperspb.Int64Value) error {
	c.Logger().Info("bought", "item", fmt.Sprint(r.Value))
	return nil
}

// lockedBuilder is a strings.Builder for several goroutines.
type lockedBuilder struct {
	mu sync.Mutex
	strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}
