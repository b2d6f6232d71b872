package transfer_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/archive"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/history"
	"llmhist/transfer"
)

// eachTarget runs test on empty engines of every combination.
func eachTarget(t *testing.T, test func(t *testing.T, to transfer.Engines)) {
	t.Run("embedded", func(t *testing.T) { test(t, embedded(t)) })
	t.Run("larger", func(t *testing.T) { test(t, larger(t)) })
	t.Run("documents beside SQLite", func(t *testing.T) {
		mixed := embedded(t)
		mixed.Documents = larger(t).Documents
		test(t, mixed)
	})
	t.Run("PostgreSQL alone", func(t *testing.T) {
		mixed := embedded(t)
		mixed.DB = larger(t).DB
		test(t, mixed)
	})
}

func TestEveryCombinationOfEnginesGivesBackTheSameRows(t *testing.T) {
	f := newFixture(t)
	eachTarget(t, func(t *testing.T, to transfer.Engines) {
		original := f.write(t, filepath.Join(t.TempDir(), "original.tar"), schema(t, to.DB))
		if err := restore(t, original, to); err != nil {
			t.Fatal(err)
		}
		_, reader := backup(t, to, "again.tar")
		want, _ := contents(t, original)
		got, _ := contents(t, reader)
		for stream := range want {
			if strings.Join(want[stream], "\n") != strings.Join(got[stream], "\n") {
				t.Errorf("%s differs", stream)
			}
		}
		if reader.Manifest.Objects != original.Manifest.Objects {
			t.Errorf("objects: %+v, want %+v", reader.Manifest.Objects, original.Manifest.Objects)
		}
	})
}

// stopAfter ends its context at the n-th object or row of a transfer.
func interrupted(t *testing.T, reader *archive.Reader, to transfer.Engines, after int64) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	progress := &transfer.Progress{}
	go func() {
		for ctx.Err() == nil {
			if f := progress.Figures(); f.Objects >= after || f.Phase != "objects" && f.Phase != "" {
				cancel()
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	return transfer.Restore(ctx, transfer.RestoreParams{
		From: reader, To: to, Schema: schema(t, to.DB), Command: "llmhist restore X", Scratch: t.TempDir(), Progress: progress,
		Key: func(string, []byte) error { return nil },
	})
}

func TestAnInterruptedRestoreIsSeenByNobodyAndCanBeCompleted(t *testing.T) {
	f := newFixture(t)
	eachTarget(t, func(t *testing.T, to transfer.Engines) {
		original := f.write(t, filepath.Join(t.TempDir(), "original"), schema(t, to.DB))
		for _, after := range []int64{1, 40, 1 << 40} {
			if err := interrupted(t, original, to, after); err == nil {
				t.Fatal("it was not interrupted")
			}
			if err := transfer.Unfinished(t.Context(), to.DB); !errors.Is(err, transfer.ErrUnfinished) || !strings.Contains(err.Error(), "llmhist restore X") {
				t.Fatalf("after %d objects a server would start: %v", after, err)
			}
			var users int64
			if err := to.DB.Read(t.Context()).Table("users").Count(&users).Error; err != nil || users != 0 {
				t.Fatalf("%d users can be seen, %v", users, err)
			}
		}
		// What the interrupted one left and this set does not have goes.
		if _, err := to.Images.Put(t.Context(), "requests/left/over.png", strings.NewReader("x"), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := restore(t, original, to); err != nil {
			t.Fatal(err)
		}
		if err := transfer.Unfinished(t.Context(), to.DB); err != nil {
			t.Error(err)
		}
		_, reader := backup(t, to, "again")
		if reader.Manifest.Objects != original.Manifest.Objects {
			t.Errorf("objects: %+v, want %+v", reader.Manifest.Objects, original.Manifest.Objects)
		}
		for _, key := range []string{"requests/left/over.png", "unfinished-transfer.json"} {
			if _, err := to.Images.Stat(t.Context(), key); err == nil {
				t.Errorf("%s is still there", key)
			}
		}
	})
}

func TestATargetThatHoldsSomethingIsRefusedAndLeftAlone(t *testing.T) {
	f := newFixture(t)
	for name, fill := range map[string]func(t *testing.T, to transfer.Engines) error{
		"SQL": func(t *testing.T, to transfer.Engines) error {
			return to.DB.Write(t.Context(), func(tx *gorm.DB) error {
				return tx.Exec("INSERT INTO image_erasures (id, processing) VALUES ('x', TRUE)").Error
			})
		},
		"objects": func(t *testing.T, to transfer.Engines) error {
			_, err := to.Speech.Put(t.Context(), "somebody/elses.txt", strings.NewReader("x"), blob.PutOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := embedded(t)
			if err := fill(t, to); err != nil {
				t.Fatal(err)
			}
			original := f.write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB))
			if err := restore(t, original, to); err == nil || !strings.Contains(err.Error(), "not empty") {
				t.Errorf("%v", err)
			}
			mustBeUnmarked(t, to)
		})
	}
	t.Run("documents", func(t *testing.T) {
		to := larger(t)
		full := embedded(t)
		full.Documents = to.Documents
		if err := restore(t, f.write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB)), full); err != nil {
			t.Fatal(err)
		}
		err := restore(t, f.write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB)), to)
		if err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%v", err)
		}
		mustBeUnmarked(t, to)
	})
	t.Run("another transfer", func(t *testing.T) {
		to := embedded(t)
		if err := interrupted(t, f.write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB)), to, 1); err == nil {
			t.Fatal("it was not interrupted")
		}
		other := newFixture(t)
		other.rows["auth.users"][0]["name"] = "another"
		err := restore(t, other.write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB)), to)
		if !errors.Is(err, transfer.ErrUnfinished) {
			t.Errorf("%v", err)
		}
	})
}

// mustBeUnmarked holds that a server starts on engines as before, and that nothing
// was put into the bucket that was empty.
func mustBeUnmarked(t *testing.T, to transfer.Engines) {
	t.Helper()
	if err := transfer.Unfinished(t.Context(), to.DB); err != nil {
		t.Error(err)
	}
	if list, err := to.Images.List(t.Context(), "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("%d objects were written, %v", len(list), err)
	}
}

// TestAServerThatStartsWhileTheTargetIsMarkedIsSeen lets a server join at the
// moment in which the marker is stored.
func TestAServerThatStartsWhileTheTargetIsMarkedIsSeen(t *testing.T) {
	to := larger(t)
	err := to.DB.Write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec(`CREATE FUNCTION join_servers() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO instances (id, home, host, version, key_id, trusted_keys, stores, started_at, seen_at)
			VALUES ('i', 'h', 'h', 'v', 'k', '', '', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP) ON CONFLICT DO NOTHING; RETURN NEW; END $$;
			CREATE TRIGGER joining AFTER INSERT ON installation FOR EACH ROW WHEN (NEW.key = 'unfinished_transfer') EXECUTE FUNCTION join_servers()`).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	err = restore(t, newFixture(t).write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB)), to)
	if err == nil || !strings.Contains(err.Error(), "1 servers serve") {
		t.Errorf("%v", err)
	}
	mustBeUnmarked(t, to)
}

func TestARowThatCannotBeStoredNamesItsPlaceAndNotItsText(t *testing.T) {
	f, to := newFixture(t), embedded(t)
	f.add("auth.users", f.rows["auth.users"][0]) // the same id twice
	err := restore(t, f.write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB)), to)
	if err == nil || !strings.Contains(err.Error(), "auth.users") || strings.Contains(err.Error(), "user0@") || strings.Contains(err.Error(), "argon2") {
		t.Errorf("%v", err)
	}
	var users int64
	if err := to.DB.Read(t.Context()).Table("users").Count(&users).Error; err != nil || users != 0 {
		t.Errorf("%d users, %v", users, err)
	}
}

func TestABackupOfANewerReleaseIsRefused(t *testing.T) {
	to := embedded(t)
	err := restore(t, newFixture(t).write(t, filepath.Join(t.TempDir(), "o"), schema(t, to.DB)+1), to)
	if err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("%v", err)
	}
}

// TestWhatIsMissingIsSaidAndTheRestIsKept removes and spoils objects under a
// backup, and deletes one image as its owner would.
func TestWhatIsMissingIsSaidAndTheRestIsKept(t *testing.T) {
	from, f := embedded(t), newFixture(t)
	if err := restore(t, f.write(t, filepath.Join(t.TempDir(), "o"), schema(t, from.DB)), from); err != nil {
		t.Fatal(err)
	}
	id := func(n int) string { return f.rows["image.images"][n]["id"].(string) }
	lost, spoiled, deleted := id(0), id(5), id(10) // all completed
	if err := from.Images.Delete(t.Context(), history.MediaKey(lost, "image/original.png")); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Images.Put(t.Context(), history.MediaKey(spoiled, "image/original.png"), strings.NewReader("rot"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	// Deleted between the snapshot and its turn: the row is gone from the database
	// when its objects are found to be.
	view := from
	view.Images = &deleting{Bucket: from.Images, t: t, db: from.DB, id: deleted}
	result, reader := backup(t, view, "b")
	if result.Manifest.Missing.Count != 2 || !strings.HasSuffix(result.Path, ".incomplete") {
		t.Errorf("%s misses %v", result.Path, result.Manifest.Missing)
	}
	for i, want := range []string{lost, spoiled} {
		if !strings.Contains(result.Manifest.Missing.First[i], want) {
			t.Errorf("%q does not name %s", result.Manifest.Missing.First[i], want)
		}
	}
	rows, objects := contents(t, reader)
	text := strings.Join(rows["image.images"], "\n")
	if !strings.Contains(text, lost) || strings.Contains(text, deleted) {
		t.Error("the row of the lost image has to stay and that of the deleted one has to go")
	}
	for name, data := range objects {
		if strings.Contains(name+data, deleted) {
			t.Errorf("%s tells of the deleted image", name)
		}
	}
	to := embedded(t)
	if err := restore(t, reader, to); err != nil {
		t.Errorf("an incomplete backup cannot be restored: %v", err)
	}
}

// deleting is a bucket whose image id is deleted, as its owner would, when its
// record is asked for.
type deleting struct {
	blob.Bucket
	t  *testing.T
	db *database.DB
	id string
}

func (d *deleting) Open(ctx context.Context, key string) (blob.Reader, error) {
	if strings.Contains(key, d.id) {
		err := d.db.Write(ctx, func(tx *gorm.DB) error { return tx.Exec("DELETE FROM images WHERE id = ?", d.id).Error })
		if err != nil {
			d.t.Error(err)
		}
		if err := d.Delete(ctx, history.MediaKey(d.id, "image/original.png")); err != nil {
			d.t.Error(err)
		}
	}
	return d.Bucket.Open(ctx, key)
}

func TestACopyThatIsRepeatedSendsNothingTwiceAndTakesChangesAlong(t *testing.T) {
	from, to, f := embedded(t), embeddedIn(t, t.TempDir(), "other"), newFixture(t)
	if err := restore(t, f.write(t, filepath.Join(t.TempDir(), "o"), schema(t, from.DB)), from); err != nil {
		t.Fatal(err)
	}
	stuck := to
	stuck.Images = &stopping{Bucket: to.Images, left: 20}
	if err := copyTo(t, from, stuck); err == nil {
		t.Fatal("it was not interrupted")
	}
	if err := transfer.Unfinished(t.Context(), to.DB); !errors.Is(err, transfer.ErrUnfinished) {
		t.Fatal(err)
	}
	gone := f.rows["image.images"][0]["id"].(string) // deleted before the copy is repeated
	if err := from.DB.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec("DELETE FROM images WHERE id = ?", gone).Error }); err != nil {
		t.Fatal(err)
	}
	progress := &transfer.Progress{}
	_, err := transfer.Copy(t.Context(), transfer.CopyParams{From: from, To: to, Scratch: t.TempDir(), Progress: progress})
	if err != nil {
		t.Fatal(err)
	}
	if there := progress.Figures().NotMoved; there < 15 {
		t.Errorf("only %d objects were found to be there", there)
	}
	_, before := backup(t, from, "before")
	_, after := backup(t, to, "after")
	if before.Manifest.Objects != after.Manifest.Objects {
		t.Errorf("%+v became %+v", before.Manifest.Objects, after.Manifest.Objects)
	}
	if _, err := to.Images.Stat(t.Context(), history.InputKey(gone)); err == nil {
		t.Error("what was deleted at the source is left at the target")
	}
	if err := copyTo(t, from, to); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a finished target was taken for another copy: %v", err)
	}
}

// stopping is a bucket that fails after some writes.
type stopping struct {
	blob.Bucket
	mu   sync.Mutex
	left int
}

func (s *stopping) Put(ctx context.Context, key string, body io.Reader, options blob.PutOptions) (blob.Object, error) {
	s.mu.Lock()
	s.left--
	stop := s.left < 0
	s.mu.Unlock()
	if stop {
		return blob.Object{}, errors.New("the store is gone")
	}
	return s.Bucket.Put(ctx, key, body, options)
}
