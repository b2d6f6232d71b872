package transfer_test

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/archive"
)

func sortedKeys[Value any](m map[string]Value) []string {
	keys := []string{}
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func cut(name string) (bucket, key string, found bool) { return strings.Cut(name, "/") }

func eachObject(t testing.TB, reader *archive.Reader, visit func(name string, data []byte)) {
	t.Helper()
	err := reader.Objects(t.Context(), func(object archive.Object, content io.Reader) error {
		data, err := io.ReadAll(content)
		visit(object.Bucket+"/"+object.Key, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEverythingComesBackAsItWas goes through both kinds of engines and all
// forms of a backup: what comes out is, byte for byte, what went in.
func TestEverythingComesBackAsItWas(t *testing.T) {
	first := embedded(t)
	f := newFixture(t)
	original := f.write(t, filepath.Join(t.TempDir(), "original"), schema(t, first.DB))
	wantRows, wantObjects := contents(t, original)
	if err := restore(t, original, first); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"tree", "file.tar", "file.tar.gz"} {
		t.Run(form, func(t *testing.T) {
			result, reader := backup(t, first, form)
			if result.Manifest.Missing.Count != 0 {
				t.Errorf("missing: %v", result.Manifest.Missing.First)
			}
			rows, objects := contents(t, reader)
			if diff := cmp.Diff(wantRows, rows); diff != "" {
				t.Errorf("rows differ:\n%.3000s", diff)
			}
			if diff := cmp.Diff(sortedKeys(wantObjects), sortedKeys(objects)); diff != "" {
				t.Errorf("objects differ:\n%.3000s", diff)
			}
			second := embedded(t)
			if err := restore(t, reader, second); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestACopyToLargerEnginesAndBackIsTheSame(t *testing.T) {
	first, big, last := embedded(t), larger(t), embedded(t)
	original := newFixture(t).write(t, filepath.Join(t.TempDir(), "original"), schema(t, first.DB))
	if err := restore(t, original, first); err != nil {
		t.Fatal(err)
	}
	if err := copyTo(t, first, big); err != nil {
		t.Fatal(err)
	}
	if err := copyTo(t, big, last); err != nil {
		t.Fatal(err)
	}
	_, before := backup(t, first, "before.tar")
	_, between := backup(t, big, "between.tar.gz")
	_, after := backup(t, last, "after")
	for name, other := range map[string]*archive.Reader{"larger": between, "back again": after} {
		if diff := cmp.Diff(before.Manifest.Streams, other.Manifest.Streams); diff != "" {
			t.Errorf("%s: streams differ:\n%s", name, diff)
		}
		if diff := cmp.Diff(before.Manifest.Objects, other.Manifest.Objects); diff != "" {
			t.Errorf("%s: objects differ:\n%s", name, diff)
		}
	}
	want, _ := contents(t, original)
	got, _ := contents(t, after)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ from the original:\n%.3000s", diff)
	}
}
