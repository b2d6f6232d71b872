package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/check"
)

// TestACheckBesideABusyServerFindsNothing compares again and again while
// everything is made and deleted, accounts too.
func TestACheckBesideABusyServerFindsNothing(t *testing.T) {
	s := boot(t)
	at := installation{config: s.app.config}
	ctx, end := context.WithCancel(t.Context())
	var made, erased atomic.Int64
	var group sync.WaitGroup
	for writer := range 6 {
		token, _ := s.newUser(fmt.Sprint("writer", writer))
		group.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				image := s.do("POST", "/image/generate", token, object{"prompt": "sea", "size": "64x64", "style": "pixel"}).want(201)
				answer := s.do("POST", "/chat", token, object{"message": "hello"}).want(200)
				made.Add(2)
				if round%2 == 0 {
					s.do("DELETE", "/image/"+image["id"].(string), token, nil).want(204)
					s.do("DELETE", "/chat/sessions/"+answer["session_id"].(string), token, nil).want(204)
				}
			}
		})
	}
	group.Go(func() {
		for round := 0; ctx.Err() == nil; round++ {
			token, _ := s.newUser(fmt.Sprint("leaver", round))
			for range 4 {
				s.do("POST", "/image/generate", token, object{"prompt": "sea", "size": "64x64", "style": "pixel"}).want(201)
			}
			s.do("DELETE", "/users/me", token, nil).want(204)
			erased.Add(1)
		}
	})
	checks := 0
	for deadline := time.Now().Add(6 * time.Second); time.Now().Before(deadline) || erased.Load() == 0; checks++ {
		if found := at.checked(t, check.Options{Grace: 10 * time.Minute}); !found.Clean {
			t.Errorf("check %d: %v", checks, found.Findings)
			break
		}
	}
	end()
	group.Wait()
	s.stop()
	if found := at.checked(t, check.Options{}); !found.Clean {
		t.Errorf("after the load: %v", found.Findings)
	}
	t.Logf("%d checks, %d requests, %d accounts erased", checks, made.Load(), erased.Load())
}
