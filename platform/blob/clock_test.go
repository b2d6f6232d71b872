package blob

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTheClockOfAStoreIsReadFromAnyAnswer(t *testing.T) {
	want := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials were sent")
		}
		w.Header().Set("Date", want.Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	if at, err := StoreClock(t.Context(), server.URL); err != nil || !at.Equal(want) {
		t.Errorf("%s %v", at, err)
	}
	server.Close()
	if at, err := StoreClock(t.Context(), server.URL); err == nil {
		t.Errorf("a store that is away says %s", at)
	}
}
