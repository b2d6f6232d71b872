package outage

import (
	"testing"
	"testing/synctest"
	"time"
)

const usual = 2 * time.Second

func wantPatience(t *testing.T, m *Memory, want time.Duration, when string) {
	t.Helper()
	if got := m.Patience(usual); got != want {
		t.Errorf("%s it waits %s, want %s", when, got, want)
	}
}

func TestASilentServerIsGivenAMomentForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin = time.Now().Add(-time.Hour)
		m := &Memory{}
		wantPatience(t, m, usual, "at first")
		since := time.Now()
		time.Sleep(usual)
		if !m.Silent(since) {
			t.Fatal("the silence was not noted")
		}
		wantPatience(t, m, moment, "after a silence")
		since = time.Now()
		time.Sleep(moment)
		if m.Silent(since) {
			t.Error("an operation that waited a moment prolongs the suspicion")
		}
		wantPatience(t, m, moment, "within the second")
		time.Sleep(suspicion)
		wantPatience(t, m, usual, "after the second")
	})
}

func TestAnAnswerEndsTheSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin = time.Now().Add(-time.Hour)
		m := &Memory{}
		since := time.Now()
		time.Sleep(usual)
		m.Silent(since)
		time.Sleep(time.Millisecond)
		m.Answered()
		wantPatience(t, m, usual, "after an answer")
	})
}

func TestOneSlowOperationAmongOthersIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin = time.Now().Add(-time.Hour)
		m := &Memory{}
		since := time.Now()
		time.Sleep(usual / 2)
		m.Answered() // another operation
		time.Sleep(usual / 2)
		if m.Silent(since) {
			t.Error("the server is suspected although it answered others")
		}
		wantPatience(t, m, usual, "then")
	})
}
