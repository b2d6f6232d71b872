package fault

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFieldsListsEveryBadInput(t *testing.T) {
	var fields Fields
	fields.Check(true, "email", "invalid", "never recorded")
	if err := fields.Err(); err != nil {
		t.Fatalf("nothing recorded, got %v", err)
	}
	fields.Check(false, "email", "invalid", "must be an e-mail address")
	fields.Add("password", "too_short", "must have at least 8 characters")

	var got *Error
	if !errors.As(fields.Err(), &got) {
		t.Fatal("want a fault")
	}
	want := []Field{
		{"email", "invalid", "must be an e-mail address"},
		{"password", "too_short", "must have at least 8 characters"},
	}
	if diff := cmp.Diff(want, got.Fields); diff != "" || got.Kind != Invalid || got.Code != "validation_failed" {
		t.Fatalf("kind %v code %s fields (-want +got):\n%s", got.Kind, got.Code, diff)
	}
}

func TestKindSurvivesWrapping(t *testing.T) {
	cause := errors.New("driver text")
	err := fmt.Errorf("context: %w", Wrap(cause, Unavailable, "storage_unavailable", "The store does not answer."))
	if !Is(err, Unavailable) || Is(err, NotFound) || CodeOf(err) != "storage_unavailable" || !errors.Is(err, cause) {
		t.Fatalf("lost on the way: %v", err)
	}
	if CodeOf(nil) != "" || CodeOf(cause) != "internal" {
		t.Fatal("CodeOf of a plain error or nil")
	}
}

func TestWithLeavesTheOriginalAlone(t *testing.T) {
	first := New(BadUpstream, "provider_failed", "x")
	second := first.With("id", "a").With("provider", "b")
	if first.Extra != nil || len(second.Extra) != 2 {
		t.Fatalf("first %v second %v", first.Extra, second.Extra)
	}
}
