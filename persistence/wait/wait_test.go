package wait_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence/wait"
)

func TestACallIsBoundedToldAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		list := wait.NewList(slog.New(slog.NewTextHandler(&log, nil)))
		ask := func() (err error) {
			ctx, end := wait.For(wait.With(t.Context(), list), wait.NATS, 5*time.Second, "the end of log main")
			defer end(&err)
			time.Sleep(wait.Patience + time.Millisecond)
			synctest.Wait()
			if calls := list.Calls(); len(calls) != 1 || calls[0].What != "the end of log main" {
				t.Errorf("the list has %v", calls)
			}
			<-ctx.Done()
			return errors.Join(errors.New("no end"), ctx.Err())
		}
		err := ask()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "NATS gave no answer within 5s (the end of log main)") {
			t.Errorf("the error is %v", err)
		}
		if !strings.Contains(log.String(), "still waiting for NATS") || len(list.Calls()) != 0 {
			t.Errorf("the list has %v, the log is %s", list.Calls(), &log)
		}
	})
}

func TestAnAnswerInTimeIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx := wait.With(t.Context(), wait.NewList(slog.New(slog.NewTextHandler(&log, nil))))
		failed := errors.New("it is not there")
		err := failed
		_, end := wait.For(ctx, wait.Etcd, 5*time.Second, "a key")
		time.Sleep(time.Second)
		if end(&err); err != failed || log.Len() > 0 {
			t.Errorf("the error is %v, the log %s", err, &log)
		}
		time.Sleep(time.Minute)
		if synctest.Wait(); log.Len() > 0 {
			t.Errorf("a finished call is logged: %s", &log)
		}
	})
}

func TestWhatComesTooLateIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		dropped := 0
		_, err := wait.Call(ctx, wait.NATS, time.Minute, "a start", func() (int, error) {
			time.Sleep(10 * time.Second)
			return 7, nil
		}, func(v int) { dropped = v })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a call whose context ended: %v", err)
		}
		time.Sleep(20 * time.Second)
		if synctest.Wait(); dropped != 7 {
			t.Error("the late result was not dropped")
		}
	})
}

// TestASlowServerIsToldOnceAMinute: calls that are slow again and again do not fill the log, and the next line counts them.
func TestASlowServerIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx := wait.With(t.Context(), wait.NewList(slog.New(slog.NewTextHandler(&log, nil))))
		for range 30 { // 90 s
			var err error
			_, end := wait.For(ctx, wait.Etcd, 5*time.Second, "a note")
			time.Sleep(3 * time.Second)
			end(&err)
		}
		if waits, answers := strings.Count(log.String(), "still waiting for etcd"), strings.Count(log.String(), "etcd has answered"); waits != 2 || answers != 2 || !strings.Contains(log.String(), "slow=19") {
			t.Errorf("%d lines that it waits, %d that it got an answer: %s", waits, answers, &log)
		}
	})
}

// TestACallWithoutTimeSaysSo: a call whose context is over when it begins does not blame the server.
func TestACallWithoutTimeSaysSo(t *testing.T) {
	got := (&wait.Error{Server: wait.Etcd, What: "write a note", Err: context.DeadlineExceeded}).Error()
	if want := "no time was left to ask etcd (write a note)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestASilenceIsSaidOnce: if a call only timed out, its error says nothing but that sentence.
func TestASilenceIsSaidOnce(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{context.DeadlineExceeded, "etcd gave no answer within 5s (at http://127.0.0.1:1)"},
		{fmt.Errorf("etcd: no lease: %w", context.DeadlineExceeded), "etcd: no lease: etcd gave no answer within 5s (at http://127.0.0.1:1)"},
		{errors.New("refused"), "refused: etcd gave no answer within 5s (at http://127.0.0.1:1)"},
	} {
		if got := (&wait.Error{Server: wait.Etcd, What: "at http://127.0.0.1:1", After: 5 * time.Second, Err: c.err}).Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
