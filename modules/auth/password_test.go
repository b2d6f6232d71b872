package auth

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/bcrypt"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
	"llmhist/platform/testkit"
)

func TestEveryFailedLoginCostsOneVerification(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	h.member("ann@example.org")
	boss, eve := h.admin("boss@example.org"), h.member("eve@example.org")
	h.want(200, "", "PATCH", "/admin/users/"+strconv.FormatInt(eve.id, 10), boss.access, map[string]any{"disabled": true})
	for name, body := range map[string][2]string{
		"wrong password":            {"ann@example.org", "wrong password"},
		"unknown address":           {"nobody@example.org", goodPassword},
		"malformed address":         {"nonsense", goodPassword},
		"a password of 5000 bytes":  {"ann@example.org", strings.Repeat("x", 5000)},
		"a disabled account, wrong": {"eve@example.org", "wrong password"},
	} {
		t.Run(name, func(t *testing.T) {
			before := h.service.hasher.verified.Load()
			h.want(401, "invalid_credentials", "POST", "/auth/login", "", map[string]string{"email": body[0], "password": body[1]})
			if cost := h.service.hasher.verified.Load() - before; cost != 1 {
				t.Errorf("%d verifications", cost)
			}
		})
	}
}

func TestTheDummyHashCostsWhatRealOnesDo(t *testing.T) {
	hasher := newHasher()
	match, outdated, err := hasher.verify(t.Context(), "", dummyHash)
	if match || outdated || err != nil {
		t.Fatalf("match %v, outdated %v, %v", match, outdated, err)
	}
}

func TestOldHashesAreRenewedAtLogin(t *testing.T) {
	legacy, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := argon2id.CreateHash(goodPassword, &argon2id.Params{Memory: 8 * 1024, Iterations: 1, Parallelism: 2, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		for name, hash := range map[string]string{"bcrypt": string(legacy), "bcrypt of PHP": "$2y" + string(legacy[3:]), "argon2id": weak} {
			t.Run(name, func(t *testing.T) {
				email := strings.ToLower(strings.ReplaceAll(name, " ", "-")) + "@example.org"
				user, err := h.service.users.CreateUser(t.Context(), User{
					Email: email, PasswordHash: logging.Secret(hash), Role: identity.RoleUser, CreatedAt: h.clock.Now(), UpdatedAt: h.clock.Now(),
				})
				if err != nil {
					t.Fatal(err)
				}
				h.want(401, "invalid_credentials", "POST", "/auth/login", "", map[string]string{"email": email, "password": "wrong password"})
				if kept, _ := h.service.users.FindUser(t.Context(), user.ID); kept.PasswordHash.Reveal() != hash {
					t.Fatal("renewed by a wrong password")
				}
				device := h.login(email, goodPassword)
				renewed, err := h.service.users.FindUser(t.Context(), user.ID)
				if err != nil || !strings.HasPrefix(renewed.PasswordHash.Reveal(), "$argon2id$v=19$m=19456,t=2,p=1$") {
					t.Fatalf("not renewed: %v", err)
				}
				h.want(200, "", "GET", "/users/me", device.access, nil)
				h.login(email, goodPassword)
			})
		}
	})
}

func TestConcurrentLoginsWithAnOldHashAllSucceed(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	legacy, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.service.users.CreateUser(t.Context(), User{
		Email: "old@example.org", PasswordHash: logging.Secret(legacy), Role: identity.RoleUser, CreatedAt: h.clock.Now(), UpdatedAt: h.clock.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	each(8, func(int) {
		if _, err := h.service.Login(t.Context(), "old@example.org", goodPassword); err != nil {
			t.Error(err)
		}
	})
}

// The work of hashing grows with the password, and a request may be larger than
// any password that was ever accepted.
func TestAPasswordAboveTheBoundNeverMatches(t *testing.T) {
	hasher, long := newHasher(), strings.Repeat("x", maxPasswordBytes+1)
	for _, password := range []string{long, long[1:]} {
		hash, err := hasher.hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		match, _, err := hasher.verify(t.Context(), password, hash)
		if match != (len(password) <= maxPasswordBytes) || err != nil {
			t.Errorf("%d bytes: match %v, %v", len(password), match, err)
		}
	}
}

func TestUnusableHashesAreRefusedWithoutWork(t *testing.T) {
	hasher := newHasher()
	for name, hash := range map[string]logging.Secret{
		"nothing": "", "plain text": "hunter2", "a cut hash": dummyHash[:40], "bcrypt nonsense": "$2a$x",
		"bcrypt of cost 31":    "$2a$31$abcdefghijklmnopqrstuuTXgc5hq0vZ0Zq1vSg0vqX1l0z8yQ1eW",
		"4 GiB of memory":      "$argon2id$v=19$m=4194304,t=2,p=1$wfB2f2j2qI0NXpBbdUdNGQ$8hSyUwVRnWkghhtVt1osFIIFiZdk6rvydmwdY1C8eqQ",
		"no iterations":        "$argon2id$v=19$m=19456,t=0,p=1$wfB2f2j2qI0NXpBbdUdNGQ$8hSyUwVRnWkghhtVt1osFIIFiZdk6rvydmwdY1C8eqQ",
		"no lanes":             "$argon2id$v=19$m=19456,t=2,p=0$wfB2f2j2qI0NXpBbdUdNGQ$8hSyUwVRnWkghhtVt1osFIIFiZdk6rvydmwdY1C8eqQ",
		"an empty derived key": "$argon2id$v=19$m=19456,t=2,p=1$wfB2f2j2qI0NXpBbdUdNGQ$",
	} {
		match, _, err := hasher.verify(t.Context(), goodPassword, hash)
		if match || !fault.Is(err, fault.Internal) {
			t.Errorf("%s: match %v, %v", name, match, err)
		}
		if err != nil && len(hash) > 8 && strings.Contains(err.Error(), hash.Reveal()) {
			t.Errorf("%s: the error shows the hash", name)
		}
	}
}

func TestTheQueueBeforeTheHasherIsBounded(t *testing.T) {
	hasher := &hasher{slots: make(chan struct{}, 1)}
	if err := hasher.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	left := make(chan error, waitingPerSlot)
	for range waitingPerSlot {
		waiting.Go(func() { left <- hasher.enter(ctx) })
	}
	for hasher.waiting.Load() < waitingPerSlot {
		runtime.Gosched() // until all are in the queue
	}
	_, err := hasher.hash(t.Context(), goodPassword)
	var refused *fault.Error
	if !errors.As(err, &refused) || refused.Kind != fault.Unavailable || refused.RetryAfter == 0 {
		t.Errorf("a full queue: %v", err)
	}
	cancel()
	waiting.Wait()
	for range waitingPerSlot {
		if err := <-left; err != context.Canceled {
			t.Fatalf("a caller that gave up: %v", err)
		}
	}
	hasher.leave()
	if _, err := hasher.hash(t.Context(), goodPassword); err != nil || hasher.waiting.Load() != 0 {
		t.Errorf("afterwards: %v, %d waiting", err, hasher.waiting.Load())
	}
}
