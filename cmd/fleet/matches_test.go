package fleet

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestALobbyCountsWaitsAndMatches: two players wait, play one match and queue again; a third one waits in vain.
func TestALobbyCountsWaitsAndMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := StartLobby(LobbyConfig{Gateways: []string{"a", "b"}, Count: 3, Prefix: "bot", Ramp: time.Nanosecond, Play: func(ctx context.Context, s Seat) {
			defer s.Account.Leave()
			s.Account.Wait()
			if s.Player == "bot-2" {
				<-ctx.Done()
				return
			}
			time.Sleep(2 * time.Second)
			s.Account.Matched()
			s.Account.Enter(false)
			time.Sleep(time.Second)
			s.Account.Leave()
			s.Account.Lose()
			s.Account.Enter(true)
			time.Sleep(time.Second)
			s.Account.Count("r-1")
			s.Account.Wait()
			<-ctx.Done()
		}})
		time.Sleep(2500 * time.Millisecond)
		if s := l.Stats(); s.Players != 3 || s.Playing != 2 || s.Waiting != 1 || s.Finished != 0 || s.MeanWait != 2 {
			t.Errorf("while two play: %+v", s)
		}
		time.Sleep(2500 * time.Millisecond)
		s := l.Stats()
		if s.Playing != 0 || s.Waiting != 3 || s.Finished != 1 || s.Entered != 4 || s.Returns != 2 || s.Lost != 2 || s.LongestWait < 4.9 || s.LongestWait > 5 {
			t.Errorf("afterwards: %+v", s)
		}
		l.Close()
	})
}
