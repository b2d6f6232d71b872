package auth

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

// The conformance suite: every engine keeps the contract of repository.go.

var noon = time.Date(2026, 11, 23, 12, 0, 0, 5e6, time.UTC)

// store is the repositories of one engine.
type store struct {
	sqlUsers
	sessions SessionRepository
	keys     KeyRepository
	quotas   QuotaRepository
	db       *database.DB
}

func eachStore(t *testing.T, test func(t *testing.T, s store)) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		test(t, store{sqlUsers{db}, sqlSessions{db}, sqlKeys{db}, sqlQuotas{db}, db})
	})
}

func (s store) user(t testing.TB, email string, role identity.Role) User {
	t.Helper()
	user, err := s.CreateUser(t.Context(), User{Email: email, PasswordHash: "h", Role: role, CreatedAt: noon, UpdatedAt: noon})
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func sessionOf(user User, name string, at time.Time) Session {
	return Session{
		ID: uid.New(at), UserID: user.ID, TokenHash: "token " + name, FamilyHash: "family " + name,
		ExpiresAt: at.Add(time.Hour), CreatedAt: at, LastUsedAt: at,
	}
}

func (s store) session(t testing.TB, session Session) Session {
	t.Helper()
	if err := s.sessions.CreateSession(t.Context(), session, "h", keptSessions); err != nil {
		t.Fatal(err)
	}
	return session
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("got %v, want code %q", err, code)
	}
}

func TestMigrationsApplyOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		if n, err := s.db.Migrate(t.Context(), migrations.Files); n != 0 || err != nil {
			t.Fatalf("a second time: %d %v", n, err)
		}
	})
}

func TestAUserComesBackAsStored(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		zero, five := int64(0), int64(5)
		disabled := noon.Add(time.Millisecond)
		for name, want := range map[string]User{
			"zero values": {Email: "zero@example.org", PasswordHash: "h", Role: identity.RoleUser},
			"all values": {Email: `o'k"%_\🦊@example.org`, PasswordHash: "h", Role: identity.RoleAdmin, Name: `'; -- "ü" 🦊 \ % _`,
				Quotas: Quotas{ChatPerDay: &zero, ImagePerDay: &five}, DisabledAt: &disabled},
		} {
			want.CreatedAt = noon.In(time.FixedZone("far", 5*3600+1800))
			want.UpdatedAt = want.CreatedAt
			created, err := s.CreateUser(t.Context(), want)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want.ID, want.CreatedAt, want.UpdatedAt = created.ID, noon, noon
			byID, err := s.FindUser(t.Context(), created.ID)
			if diff := cmp.Diff(want, byID); diff != "" || err != nil || byID.CreatedAt.Location() != time.UTC {
				t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
			}
			byEmail, err := s.FindUserByEmail(t.Context(), want.Email)
			if diff := cmp.Diff(want, byEmail); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
			}
		}
	})
}

func TestUsersThatAreNotThere(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		_, err := s.CreateUser(t.Context(), User{Email: "ann@example.org", CreatedAt: noon, UpdatedAt: noon})
		wantCode(t, err, "email_taken")
		_, err = s.FindUser(t.Context(), ann.ID+1)
		wantCode(t, err, "not_found")
		_, err = s.FindUserByEmail(t.Context(), "ANN@example.org") // addresses are canonical before they come here
		wantCode(t, err, "not_found")
		_, err = s.UpdateUser(t.Context(), ann.ID+1, func(*User) error { return nil })
		wantCode(t, err, "not_found")
		wantCode(t, s.BeginUserDeletion(t.Context(), ann.ID+1, noon), "not_found")
		wantCode(t, s.ReplacePassword(t.Context(), PasswordChange{UserID: ann.ID + 1, Old: "h", New: "x", At: noon}), "password_changed")
		if err := s.DeleteUser(t.Context(), ann.ID+1, noon); err != nil {
			t.Errorf("deleting what is gone: %v", err)
		}
	})
}

func TestOneOfManyAccountsOfOneAddressIsMade(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		codes := make([]string, 20)
		each(len(codes), func(i int) {
			_, err := s.CreateUser(t.Context(), User{Email: "ann@example.org", CreatedAt: noon, UpdatedAt: noon})
			codes[i] = fault.CodeOf(err)
		})
		count := map[string]int{}
		for _, code := range codes {
			count[code]++
		}
		if count[""] != 1 || count["email_taken"] != len(codes)-1 {
			t.Fatalf("got %v", count)
		}
	})
}

func TestPagesNeitherRepeatNorSkip(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		for i := range 25 {
			s.user(t, fmt.Sprintf("u%02d@example.org", i), identity.RoleUser) // all of one moment
		}
		seen := map[int64]bool{}
		last := int64(1 << 62)
		for offset := 0; offset < 30; offset += 10 {
			users, total, err := s.ListUsers(t.Context(), "", offset, 10)
			if err != nil || total != 25 || users == nil {
				t.Fatalf("%d of %d: %v", len(users), total, err)
			}
			for _, user := range users {
				if user.ID >= last || seen[user.ID] {
					t.Fatalf("user %d repeated or out of order", user.ID)
				}
				last, seen[user.ID] = user.ID, true
			}
		}
		if len(seen) != 25 {
			t.Fatalf("saw %d", len(seen))
		}
	})
}

func TestSearchTakesTextLiterally(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		for email, name := range map[string]string{
			"percent@example.org": "100% sure", "under@example.org": "a_b", "plain@example.org": "aXb 100 sure",
			"quote@example.org": `O'Neil "the" \ 🦊`, "accent@example.org": "ÉMILE ÅSA",
		} {
			if _, err := s.CreateUser(t.Context(), User{Email: email, Name: name, CreatedAt: noon, UpdatedAt: noon}); err != nil {
				t.Fatal(err)
			}
		}
		for query, want := range map[string]string{
			"100%": "percent@example.org", "a_b": "under@example.org", `o'neil "`: "quote@example.org", `\ 🦊`: "quote@example.org",
			"émile": "accent@example.org", "plain@": "plain@example.org",
		} {
			users, total, err := s.ListUsers(t.Context(), query, 0, 10)
			if err != nil || total != 1 || len(users) != 1 || users[0].Email != want {
				t.Errorf("%q: %d %v %v", query, total, users, err)
			}
		}
	})
}

func TestFiftyUpdatesOfOneUserLoseNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		zero := int64(0)
		ann, err := s.CreateUser(t.Context(), User{Email: "ann@example.org", Quotas: Quotas{ChatPerDay: &zero}, CreatedAt: noon, UpdatedAt: noon})
		if err != nil {
			t.Fatal(err)
		}
		each(50, func(int) {
			_, err := s.UpdateUser(t.Context(), ann.ID, func(u *User) error {
				more := *u.Quotas.ChatPerDay + 1
				u.Quotas.ChatPerDay = &more
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		got, err := s.FindUser(t.Context(), ann.ID)
		if err != nil || *got.Quotas.ChatPerDay != 50 {
			t.Fatalf("counted %v %v", got.Quotas.ChatPerDay, err)
		}
	})
}

func TestOneAdministratorAlwaysRemains(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		var admins []User
		for i := range 9 {
			admins = append(admins, s.user(t, fmt.Sprintf("a%d@example.org", i), identity.RoleAdmin))
		}
		refused := make([]string, len(admins))
		each(len(admins), func(i int) {
			var err error
			switch i % 3 {
			case 0:
				_, err = s.UpdateUser(t.Context(), admins[i].ID, func(u *User) error { u.Role = identity.RoleUser; return nil })
			case 1:
				_, err = s.UpdateUser(t.Context(), admins[i].ID, func(u *User) error { u.DisabledAt = &noon; return nil })
			default:
				err = s.BeginUserDeletion(t.Context(), admins[i].ID, noon)
			}
			refused[i] = fault.CodeOf(err)
		})
		count := map[string]int{}
		for _, code := range refused {
			count[code]++
		}
		counts, err := s.CountUsers(t.Context())
		if err != nil || counts.Admins != 1 || count["last_admin"] != 1 || count[""] != len(admins)-1 {
			t.Fatalf("%v, %v, %v", counts, count, err)
		}
	})
}

func TestACancelledContextWritesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ann := s.user(t, "ann@example.org", identity.RoleUser)
		session := s.session(t, sessionOf(ann, "a", noon))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, createErr := s.CreateUser(gone, User{Email: "new@example.org", CreatedAt: noon, UpdatedAt: noon})
		_, updateErr := s.UpdateUser(gone, ann.ID, func(u *User) error { u.Name = "x"; return nil })
		_, _, rotateErr := s.sessions.RotateRefreshToken(gone, rotationOf(session, "next"))
		charged, chargeErr := s.quotas.ChargeQuota(gone, Charge{UserID: ann.ID, Day: "2026-11-23", Service: "chat", Limit: 1})
		for name, err := range map[string]error{
			"create": createErr, "update": updateErr, "rotate": rotateErr, "charge": chargeErr,
			"key":     s.keys.CreateKey(gone, keyOf(ann, "k"), 5),
			"session": s.sessions.CreateSession(gone, sessionOf(ann, "b", noon), "h", 5),
			"delete":  s.BeginUserDeletion(gone, ann.ID, noon),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		users, total, err := s.ListUsers(t.Context(), "", 0, 10)
		if err != nil || total != 1 || users[0].Name != "" || users[0].DeletingAt != nil || charged {
			t.Errorf("%v %v", users, err)
		}
		sessions, err := s.sessions.ListSessions(t.Context(), ann.ID, noon)
		if diff := cmp.Diff([]Session{session}, sessions); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		if keys, err := s.keys.ListKeys(t.Context(), ann.ID); err != nil || len(keys) != 0 {
			t.Errorf("%v %v", keys, err)
		}
		if ok, err := s.quotas.ChargeQuota(t.Context(), Charge{UserID: ann.ID, Day: "2026-11-23", Service: "chat", Limit: 1}); err != nil || !ok {
			t.Errorf("the quota was charged: %v", err)
		}
	})
}

func TestDeletionTakesEverythingOfOneAccount(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := t.Context()
		ann, eve := s.user(t, "ann@example.org", identity.RoleUser), s.user(t, "eve@example.org", identity.RoleUser)
		for _, user := range []User{ann, eve} {
			s.session(t, sessionOf(user, user.Email, noon))
			if err := s.keys.CreateKey(ctx, keyOf(user, user.Email), 5); err != nil {
				t.Fatal(err)
			}
			if _, err := s.quotas.ChargeQuota(ctx, Charge{UserID: user.ID, Day: "2026-11-23", Service: "chat", Limit: 1}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // repeating it changes nothing
			if err := s.BeginUserDeletion(ctx, ann.ID, noon); err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, s.sessions.CreateSession(ctx, sessionOf(ann, "late", noon), "h", 5), "password_changed")
		wantCode(t, s.keys.CreateKey(ctx, keyOf(ann, "late"), 5), "not_found")
		wantCode(t, s.ReplacePassword(ctx, PasswordChange{UserID: ann.ID, Old: "h", New: "x", At: noon}), "password_changed")
		_, err := s.UpdateUser(ctx, ann.ID, func(*User) error { return nil })
		wantCode(t, err, "not_found")
		if ids, err := s.ListDeletions(ctx, noon, 5); err != nil || len(ids) != 0 {
			t.Errorf("not before its time: %v %v", ids, err)
		}
		if ids, err := s.ListDeletions(ctx, noon.Add(time.Millisecond), 5); err != nil || len(ids) != 1 || ids[0] != ann.ID {
			t.Errorf("got %v %v", ids, err)
		}
		known := func(want ...int64) {
			t.Helper()
			if ids, err := s.ListKnownUsers(ctx, []int64{eve.ID + 1, eve.ID, ann.ID}); err != nil || !slices.Equal(ids, want) {
				t.Errorf("known: %v %v", ids, err)
			}
		}
		known(ann.ID, eve.ID)
		for _, at := range []time.Time{noon, noon.Add(time.Hour)} { // the second finds nothing any more
			if err := s.DeleteUser(ctx, ann.ID, at); err != nil {
				t.Fatal(err)
			}
		}
		known(eve.ID)
		erased := func(before time.Time, want ...int64) {
			t.Helper()
			if ids, err := s.ListErased(ctx, before, 5); err != nil || !slices.Equal(ids, want) {
				t.Errorf("erased before %s: %v %v", before, ids, err)
			}
		}
		erased(noon)
		erased(noon.Add(time.Millisecond), ann.ID)
		for range 2 {
			if err := s.ForgetErased(ctx, ann.ID); err != nil {
				t.Error(err)
			}
		}
		erased(noon.Add(2 * time.Hour))
		for table, want := range map[string]int64{"users": 1, "sessions": 1, "api_keys": 1, "quota_usage": 1} {
			var rows int64
			if err := s.db.Read(ctx).Table(table).Count(&rows).Error; err != nil || rows != want {
				t.Errorf("%s: %d rows, want %d (%v)", table, rows, want, err)
			}
		}
	})
}

// each runs n calls at once.
func each(n int, call func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; call(i) })
	}
	close(start)
	wg.Wait()
}
