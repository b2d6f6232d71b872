package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llmhist/platform/archive"
)

type row struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

// forms are the kinds of sets, by the ends of their names.
var forms = []string{"set", "set.tar", "set.tar.gz"}

// makeSet writes a set of two streams, a few objects of all sizes, and a key.
func makeSet(t *testing.T, path string) archive.Manifest {
	t.Helper()
	w, err := archive.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		content, err := archive.TakeContent(w.Dir(), bytes.NewReader(bytes.Repeat([]byte{byte(i)}, i*200_000)))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AddObject(archive.Object{Bucket: "image", Key: fmt.Sprintf("requests/%d.png", i)}, content); err != nil {
			t.Fatal(err)
		}
		content.Release()
	}
	for i := range 1000 {
		if err := w.Stage().Write("a.rows", row{i, "𝕏 <&> \u2028"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.AddKey("links.key", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	name, m, err := w.Finish(archive.Manifest{Product: "p"}, []string{"a.rows", "b.none"})
	if err != nil || name != path {
		t.Fatal(name, err)
	}
	return m
}

func each(t *testing.T, test func(t *testing.T, path string)) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) { test(t, filepath.Join(t.TempDir(), form)) })
	}
}

func open(t *testing.T, path string) error {
	t.Helper()
	_, err := archive.Open(t.Context(), path)
	return err
}

func TestASetIsReadAsItWasWritten(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		made := makeSet(t, path)
		r, err := archive.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if r.Manifest.Rows() != 1000 || r.Manifest.Objects != made.Objects || r.Manifest.Objects.Bytes != 2_000_000 {
			t.Errorf("manifest %+v", r.Manifest)
		}
		next := 0
		err = r.Rows(t.Context(), []string{"a.rows", "b.none", "c.never"}, func(stream string, lines *archive.Lines) error {
			return archive.Pages(lines, 7, func(page []row) error {
				for _, one := range page {
					if stream != "a.rows" || one != (row{next, "𝕏 <&> \u2028"}) {
						t.Fatalf("%s has %v", stream, one)
					}
					next++
				}
				return nil
			})
		})
		if err != nil || next != 1000 {
			t.Errorf("%d rows, %v", next, err)
		}
		objects := 0
		err = r.Objects(t.Context(), func(object archive.Object, content io.Reader) error {
			data, err := io.ReadAll(content)
			if !bytes.Equal(data, bytes.Repeat([]byte{byte(objects)}, objects*200_000)) {
				t.Errorf("%s has %d bytes", object.Key, len(data))
			}
			objects++
			return err
		})
		if err != nil || objects != 5 {
			t.Errorf("%d objects, %v", objects, err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Errorf("%d things are left beside the set", len(entries)-1)
		}
	})
}

func TestASetIsForItsOwnerAlone(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		makeSet(t, path)
		err := filepath.Walk(path, func(name string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestASetIsNotWrittenOverSomething(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Create(path); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Error(err)
		}
	})
}

func TestWhatIsInterruptedLeavesNothingThatLooksWhole(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		w, err := archive.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Create(path); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("a second writer was let in: %v", err)
		}
		if err := w.Stage().Write("a.rows", row{}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Error("there is something before the end")
		}
		for _, left := range []string{path + ".partial/set", path + ".partial/set.tar"} {
			if err := open(t, left); err == nil {
				t.Errorf("%s can be opened", left)
			}
		}
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
			t.Errorf("%d things are left", len(entries))
		}
		// What a killed process left is no hindrance.
		if err := os.MkdirAll(path+".partial/set/rows", 0o700); err != nil {
			t.Fatal(err)
		}
		makeSet(t, path)
	})
}

// filesOf lists the files of a set, which for a file is itself.
func filesOf(t *testing.T, path string) []string {
	t.Helper()
	var files []string
	err := filepath.Walk(path, func(name string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAFlippedByteIsFoundWhereverItIs(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		makeSet(t, path)
		for _, file := range filesOf(t, path) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			plain := unzipped(data)
			for i := range 12 {
				at := len(data) * i / 12
				if strings.HasSuffix(file, "manifest.json") || strings.HasSuffix(path, ".gz") && at < 10 {
					at = bytes.Index(data, []byte(`"sha256": "`)) + 20 // not in white space, nor in gzip's header
					if at < 20 {
						continue
					}
				}
				if strings.HasSuffix(path, ".tar") && inPadding(data, at) {
					continue
				}
				data[at] ^= 0x01
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
				if open(t, path) == nil && (plain == nil || !bytes.Equal(plain, unzipped(data))) {
					t.Errorf("byte %d of %s is wrong and nothing was said", at, filepath.Base(file))
				}
				data[at] ^= 0x01
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := open(t, path); err != nil {
			t.Errorf("the whole set again: %v", err)
		}
	})
}

// unzipped returns what a gzip file holds: some of its bits say nothing.
func unzipped(data []byte) []byte {
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		return nil
	}
	return plain
}

// inPadding reports whether a byte of a tar file stands between entries.
func inPadding(data []byte, at int) bool {
	reader := bytes.NewReader(data)
	entries := tar.NewReader(reader)
	for {
		header, err := entries.Next()
		if err != nil {
			return true
		}
		from := len(data) - reader.Len()
		if at >= from-512 && at < from+int(header.Size) {
			return at < from // fields of a header that nobody reads
		}
	}
}

func TestAMissingOrCutFileIsFound(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		makeSet(t, path)
		for _, file := range filesOf(t, path) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, keep := range []int{0, len(data) / 3, len(data) / 2 / 512 * 512, len(data) * 9 / 10, len(data) - 1} {
				if keep == len(data)-1 && strings.HasSuffix(path, ".tar") {
					continue // zeros after the end
				}
				if err := os.WriteFile(file, data[:keep], 0o600); err != nil {
					t.Fatal(err)
				}
				if open(t, path) == nil && !(strings.HasSuffix(file, "manifest.json") && keep == len(data)-1) {
					t.Errorf("%s was cut to %d of %d bytes and nothing was said", filepath.Base(file), keep, len(data))
				}
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if open(t, path) == nil {
				t.Errorf("%s is missing and nothing was said", filepath.Base(file))
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestANewerFormatIsRefusedInClearWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set")
	makeSet(t, path)
	file := filepath.Join(path, "manifest.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(data), `"format": 1`, `"format": 2, "unheard": "of"`, 1)
	if err := os.WriteFile(file, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path); err == nil || !strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "newer") {
		t.Error(err)
	}
}

func TestALinkLeadsNowhere(t *testing.T) {
	path, outside := filepath.Join(t.TempDir(), "set"), filepath.Join(t.TempDir(), "outside")
	makeSet(t, path)
	for _, name := range []string{"objects/image/requests/1.png", "rows/a.rows.jsonl", "manifest.json"} {
		file := filepath.Join(path, name)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(outside, data, 0o600), os.Remove(file), os.Symlink(outside, file)); err != nil {
			t.Fatal(err)
		}
		if err := open(t, path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s is a link: %v", name, err)
		}
		if err := errors.Join(os.Remove(file), os.WriteFile(file, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAHostileTarIsRefused tries entries that lead out of a directory, are no
// files, or say that they are endless.
func TestAHostileTarIsRefused(t *testing.T) {
	hostile := map[string]tar.Header{
		"parent":          {Name: "../etc/passwd", Typeflag: tar.TypeReg},
		"parent inside":   {Name: "objects/image/../../x", Typeflag: tar.TypeReg},
		"absolute":        {Name: "/etc/passwd", Typeflag: tar.TypeReg},
		"absolute object": {Name: "objects//etc/passwd", Typeflag: tar.TypeReg},
		"hidden":          {Name: "objects/image/.ssh", Typeflag: tar.TypeReg},
		"symbolic link":   {Name: "objects/image/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		"hard link":       {Name: "rows/a.rows.jsonl", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		"device":          {Name: "objects/image/a", Typeflag: tar.TypeChar},
		"directory":       {Name: "objects/", Typeflag: tar.TypeDir},
		"stranger":        {Name: "README", Typeflag: tar.TypeReg},
		"huge object":     {Name: "objects/image/a", Typeflag: tar.TypeReg, Size: 1 << 50},
		"huge manifest":   {Name: "manifest.json", Typeflag: tar.TypeReg, Size: 1 << 40},
		"huge key":        {Name: "keys/links.key", Typeflag: tar.TypeReg, Size: 1 << 30},
	}
	for name, header := range hostile {
		t.Run(name, func(t *testing.T) {
			for _, zipped := range []bool{false, true} {
				path := filepath.Join(t.TempDir(), "x")
				writeTar(t, path, header, zipped)
				err := open(t, path)
				if err == nil || !strings.Contains(err.Error(), "no backup of llmhist does") && !strings.Contains(err.Error(), "cannot be") {
					t.Errorf("zipped %v: %v", zipped, err)
				}
			}
		})
	}
}

func writeTar(t *testing.T, path string, header tar.Header, zipped bool) {
	t.Helper()
	var buffer bytes.Buffer
	var target io.Writer = &buffer
	if zipped {
		target = gzip.NewWriter(&buffer)
	}
	w := tar.NewWriter(target)
	if err := w.WriteHeader(&header); err != nil {
		t.Fatal(err)
	}
	_ = w.Flush()
	if zip, ok := target.(*gzip.Writer); ok {
		_ = zip.Close()
	}
	if err := os.WriteFile(path, buffer.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTwoOfOneNameAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set.tar")
	makeSet(t, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var twice bytes.Buffer
	w := tar.NewWriter(&twice)
	for range 2 {
		entries := tar.NewReader(bytes.NewReader(data))
		for {
			header, err := entries.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = w.WriteHeader(header)
			_, _ = io.Copy(w, entries)
		}
	}
	_ = w.Close()
	if err := os.WriteFile(path, twice.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path); err == nil {
		t.Error("a set that holds everything twice was taken")
	}
}

func TestNoSetIsNoSet(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, t.TempDir(), "/dev/zero", filepath.Join(t.TempDir(), "absent")} {
		if err := open(t, path); err == nil || !strings.Contains(err.Error(), "cannot be used") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAnEndlessLineIsRefused(t *testing.T) {
	stage := archive.NewStage(t.TempDir())
	if err := stage.Write("a.rows", row{Text: strings.Repeat("x", 33<<20)}); err != nil {
		t.Fatal(err)
	}
	if _, err := stage.Finish("a.rows"); err != nil {
		t.Fatal(err)
	}
	lines, err := stage.Lines("a.rows")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lines.Close() }()
	if _, err := lines.Next(&row{}); err == nil || strings.Contains(err.Error(), "xxx") {
		t.Errorf("%v", err)
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, path string) {
		makeSet(t, path)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := archive.Open(ctx, path); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func FuzzOpenTar(f *testing.F) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	_ = w.WriteHeader(&tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg, Size: 2})
	_, _ = w.Write([]byte("{}"))
	_ = w.Close()
	f.Add(buffer.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t, path); err == nil {
			t.Error("this is no set")
		}
	})
}
