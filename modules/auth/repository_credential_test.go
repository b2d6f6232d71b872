package auth

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/uid"
)

func rotationOf(s Session, next string) Rotation {
	return Rotation{
		FamilyHash: s.FamilyHash, SpentHash: s.TokenHash, NextHash: next, Now: s.CreatedAt.Add(time.Minute),
		ExpiresAt: s.ExpiresAt.Add(time.Minute), Client: identity.Client{IP: "::1", UserAgent: "n'ew 🦊"},
	}
}

func keyOf(user User, name string) Key {
	return Key{ID: uid.New(noon), UserID: user.ID, Name: name, Prefix: "llmh_abc", Hash: "hash " + name, CreatedAt: noon}
}

func TestASessionComesBackAsStored(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		want := sessionOf(ann, "a", noon)
		want.Client = identity.Client{IP: "2001:db8::1", UserAgent: `"quoted" 🦊 %_`}
		s.session(t, want)
		got, owner, err := s.sessions.FindSession(t.Context(), want.ID)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
		if diff := cmp.Diff(ann, owner); diff != "" {
			t.Errorf("owner (-want +got)\n%s", diff)
		}
		_, _, err = s.sessions.FindSession(t.Context(), uid.New(noon))
		wantCode(t, err, "not_found")
		again := sessionOf(ann, "b", noon)
		again.ID = want.ID
		if err := s.sessions.CreateSession(t.Context(), again, "h", 5); err == nil {
			t.Error("an id was used twice")
		}
		again = sessionOf(ann, "a", noon)
		if err := s.sessions.CreateSession(t.Context(), again, "h", 5); err == nil {
			t.Error("a refresh token was used twice")
		}
	})
}

func TestASessionNeedsTheVerifiedPassword(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := t.Context()
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		kept, ended := s.session(t, sessionOf(ann, "a", noon)), s.session(t, sessionOf(ann, "b", noon))
		change := PasswordChange{UserID: ann.ID, Old: "h", New: "h2", At: noon, EndSessions: true, KeepSession: kept.ID}
		if err := s.ReplacePassword(ctx, change); err != nil {
			t.Fatal(err)
		}
		wantCode(t, s.ReplacePassword(ctx, change), "password_changed")
		wantCode(t, s.sessions.CreateSession(ctx, sessionOf(ann, "c", noon), "h", 5), "password_changed")
		for id, want := range map[string]bool{kept.ID: false, ended.ID: true} {
			if got, _, err := s.sessions.FindSession(ctx, id); err != nil || got.Revoked != want {
				t.Errorf("revoked %v, want %v (%v)", got.Revoked, want, err)
			}
		}
		if _, err := s.UpdateUser(ctx, ann.ID, func(u *User) error { u.DisabledAt = &noon; return nil }); err != nil {
			t.Fatal(err)
		}
		wantCode(t, s.sessions.CreateSession(ctx, sessionOf(ann, "d", noon), "h2", 5), "password_changed")
		wantCode(t, s.keys.CreateKey(ctx, keyOf(ann, "late"), 5), "not_found")
		if list, err := s.sessions.ListSessions(ctx, ann.ID, noon); err != nil || list == nil || len(list) != 0 {
			t.Errorf("a disabled account keeps no session: %v %v", list, err)
		}
	})
}

func TestExactlyOneRotationWins(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		session := s.session(t, sessionOf(ann, "a", noon))
		var mu sync.Mutex
		codes := map[string]int{}
		each(50, func(i int) {
			_, _, err := s.sessions.RotateRefreshToken(t.Context(), rotationOf(session, fmt.Sprint("next ", i)))
			mu.Lock()
			defer mu.Unlock()
			codes[fault.CodeOf(err)]++
		})
		if codes[""] != 1 || codes["refresh_token_reused"] != 49 {
			t.Fatalf("got %v", codes)
		}
		if got, _, err := s.sessions.FindSession(t.Context(), session.ID); err != nil || !got.Revoked {
			t.Errorf("the session goes on: %v %v", got, err)
		}
	})
}

func TestRotation(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := t.Context()
		ann := s.user(t, "ann@example.org", identity.RoleAdmin)
		session := s.session(t, sessionOf(ann, "a", noon))
		rotation := rotationOf(session, "next")
		got, owner, err := s.sessions.RotateRefreshToken(ctx, rotation)
		want := session
		want.TokenHash, want.ExpiresAt, want.LastUsedAt, want.Client = "next", rotation.ExpiresAt, rotation.Now, rotation.Client
		if diff := cmp.Diff(want, got); diff != "" || err != nil || owner.Role != identity.RoleAdmin {
			t.Errorf("%v %v (-want +got)\n%s", owner, err, diff)
		}
		late := rotationOf(want, "late")
		late.Now = want.ExpiresAt
		_, _, err = s.sessions.RotateRefreshToken(ctx, late)
		wantCode(t, err, "refresh_token_expired")
		unknown := rotationOf(want, "x")
		unknown.FamilyHash = "FAMILY A"
		_, _, err = s.sessions.RotateRefreshToken(ctx, unknown)
		wantCode(t, err, "invalid_refresh_token")
		got, _, err = s.sessions.RotateRefreshToken(ctx, rotation)
		wantCode(t, err, "refresh_token_reused")
		if got.ID != session.ID {
			t.Errorf("which session was ended? %v", got)
		}
		_, _, err = s.sessions.RotateRefreshToken(ctx, rotationOf(want, "y"))
		wantCode(t, err, "session_revoked")
	})
}

func TestSessionsEndForTheirOwnerOnly(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := t.Context()
		ann, eve := s.user(t, "ann@example.org", identity.RoleUser), s.user(t, "eve@example.org", identity.RoleUser)
		one, two := s.session(t, sessionOf(ann, "1", noon)), s.session(t, sessionOf(ann, "2", noon.Add(time.Second)))
		other := s.session(t, sessionOf(eve, "3", noon))
		list, err := s.sessions.ListSessions(ctx, ann.ID, noon)
		if diff := cmp.Diff([]Session{two, one}, list); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		wantCode(t, s.sessions.RevokeSession(ctx, ann.ID, other.ID, noon), "not_found")
		wantCode(t, s.sessions.RevokeSession(ctx, ann.ID, one.ID, one.ExpiresAt), "not_found")
		wantCode(t, s.sessions.RevokeSession(ctx, ann.ID, one.ID, noon), "")
		wantCode(t, s.sessions.RevokeSession(ctx, ann.ID, one.ID, noon), "not_found")
		wantCode(t, s.sessions.RevokeSessions(ctx, ann.ID), "")
		wantCode(t, s.sessions.RevokeSessions(ctx, eve.ID+1), "not_found")
		if list, err := s.sessions.ListSessions(ctx, ann.ID, noon); err != nil || len(list) != 0 {
			t.Errorf("got %v %v", list, err)
		}
		if list, err := s.sessions.ListSessions(ctx, eve.ID, noon); err != nil || len(list) != 1 {
			t.Errorf("got %v %v", list, err)
		}
		for range 2 {
			id, err := s.sessions.RevokeFamily(ctx, other.FamilyHash)
			if err != nil || id != other.ID {
				t.Errorf("got %q %v", id, err)
			}
		}
		_, err = s.sessions.RevokeFamily(ctx, "nobody's")
		wantCode(t, err, "not_found")
	})
}

func TestTheLeastUsedSessionsGoFirst(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := t.Context()
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		var want []Session
		for i := range 8 {
			session := sessionOf(ann, fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second))
			if err := s.sessions.CreateSession(ctx, session, "h", 3); err != nil {
				t.Fatal(err)
			}
			if i >= 5 {
				want = append([]Session{session}, want...)
			}
		}
		list, err := s.sessions.ListSessions(ctx, ann.ID, noon)
		if diff := cmp.Diff(want, list); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

// An operator who shortens the life of sessions leaves older ones that expire
// later than those that begin now.
func TestANewSessionStaysBesideOlderOnesThatExpireLater(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		for i := range 3 {
			long := sessionOf(ann, fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second))
			long.ExpiresAt = noon.Add(30 * 24 * time.Hour)
			s.session(t, long)
		}
		short := sessionOf(ann, "short", noon.Add(time.Minute))
		if err := s.sessions.CreateSession(t.Context(), short, "h", 3); err != nil {
			t.Fatal(err)
		}
		list, err := s.sessions.ListSessions(t.Context(), ann.ID, noon)
		if err != nil || len(list) != 3 || list[0].ID != short.ID {
			t.Errorf("%v: %+v", err, list)
		}
	})
}

func TestExpiredSessionsAndOldUsageAreRemovedInBatches(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := t.Context()
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		for i := range 5 {
			s.session(t, sessionOf(ann, fmt.Sprint(i), noon.Add(time.Duration(i)*time.Hour)))
			charge := Charge{UserID: ann.ID, Day: fmt.Sprintf("2026-11-0%d", i+1), Service: "chat", Limit: 1}
			if _, err := s.quotas.ChargeQuota(ctx, charge); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int64{2, 1, 0} {
			removed, err := s.sessions.DeleteSessions(ctx, noon.Add(3*time.Hour+time.Millisecond), 2)
			if err != nil || removed != want {
				t.Errorf("removed %d sessions, want %d (%v)", removed, want, err)
			}
			removed, err = s.quotas.DeleteQuotaUsage(ctx, "2026-11-04", 2)
			if err != nil || removed != want {
				t.Errorf("removed %d counts, want %d (%v)", removed, want, err)
			}
		}
	})
}

func TestKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := t.Context()
		ann, eve := s.user(t, "ann@example.org", identity.RoleUser), s.user(t, "eve@example.org", identity.RoleUser)
		until := noon.Add(time.Hour)
		want := keyOf(ann, `'🦊"`)
		want.ExpiresAt = &until
		wantCode(t, s.keys.CreateKey(ctx, want, 5), "")
		if err := s.keys.CreateKey(ctx, keyOf(eve, `'🦊"`), 5); err == nil {
			t.Error("one hash for two keys")
		}
		got, owner, err := s.keys.FindKeyByHash(ctx, want.Hash)
		if diff := cmp.Diff(want, got); diff != "" || err != nil || owner.ID != ann.ID {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
		_, _, err = s.keys.FindKeyByHash(ctx, "unknown")
		wantCode(t, err, "not_found")
		for _, at := range []time.Time{until, noon} { // an earlier use never hides a later one
			wantCode(t, s.keys.TouchKey(ctx, want.ID, at), "")
		}
		list, err := s.keys.ListKeys(ctx, ann.ID)
		if err != nil || len(list) != 1 || !list[0].LastUsedAt.Equal(until) {
			t.Errorf("got %v %v", list, err)
		}
		if list, err := s.keys.ListKeys(ctx, eve.ID); err != nil || list == nil || len(list) != 0 {
			t.Errorf("got %v %v", list, err)
		}
		wantCode(t, s.keys.DeleteKey(ctx, eve.ID, want.ID), "not_found")
		wantCode(t, s.keys.DeleteKey(ctx, ann.ID, want.ID), "")
		wantCode(t, s.keys.DeleteKey(ctx, ann.ID, want.ID), "not_found")
	})
}

func TestTheNumberOfKeysIsBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		var made, refused atomic.Int64
		each(30, func(i int) {
			switch err := s.keys.CreateKey(t.Context(), keyOf(ann, fmt.Sprint(i)), 20); fault.CodeOf(err) {
			case "":
				made.Add(1)
			case "too_many_api_keys":
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
		if made.Load() != 20 || refused.Load() != 10 {
			t.Fatalf("made %d, refused %d", made.Load(), refused.Load())
		}
	})
}

func TestAQuotaIsExactUnderConcurrency(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		charge := Charge{UserID: 1, Day: "2026-11-23", Service: "image", Limit: 20}
		var charged atomic.Int64
		each(50, func(int) {
			ok, err := s.quotas.ChargeQuota(t.Context(), charge)
			if err != nil {
				t.Error(err)
			}
			if ok {
				charged.Add(1)
			}
		})
		if charged.Load() != 20 {
			t.Fatalf("charged %d of 20", charged.Load())
		}
		charge.Limit = 0
		if ok, err := s.quotas.ChargeQuota(t.Context(), charge); ok || err != nil {
			t.Errorf("a quota of none: %v %v", ok, err)
		}
		charge.Limit, charge.Day = 1, "2026-11-24"
		if ok, err := s.quotas.ChargeQuota(t.Context(), charge); !ok || err != nil {
			t.Errorf("another day: %v %v", ok, err)
		}
	})
}
