package blob_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func TestAWriteBesideTheDeletionOfItsNeighbourSucceeds(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	var group sync.WaitGroup
	for writer := range 4 {
		group.Go(func() {
			name := fmt.Sprintf("requests/2026/01/02/0199-a/image/%d.png", writer)
			for i := range 150 {
				if _, err := bucket.Put(t.Context(), name, strings.NewReader("x"), blob.PutOptions{IfAbsent: i%2 == 0}); err != nil {
					t.Errorf("put: %v", err)
				}
				if err := bucket.Delete(t.Context(), name); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}
	group.Wait()
}

func TestAStoreThatIsGoneIsUnavailableNotEmpty(t *testing.T) {
	root := t.TempDir()
	bucket, err := blob.OpenDirectory(root, "b", blob.NewSigner(make([]byte, 32), func() string { return "" }, time.Minute, time.Now))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := bucket.List(t.Context(), "users/0/", "", 1); err != nil || len(list) != 0 {
		t.Fatalf("an empty store lists %v, %v", list, err)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.List(t.Context(), "users/0/", "", 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("List: %v", err)
	}
	if _, err := bucket.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Put: %v", err)
	}
	if _, err := bucket.Open(t.Context(), key); !fault.Is(err, fault.NotFound) {
		t.Errorf("Open: %v", err)
	}
}
