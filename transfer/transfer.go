// Package transfer moves whole installations: into a backup, out of one, and
// from one set of engines to another. It knows every module's archive and no
// more of the modules. What it moves it compares by counts and hashes in the end.
//
// A target is filled in an order that shows users nothing before its end, and
// that can be repeated: a marker in every store says that this transfer is
// filling it, then come the objects, the documents, and all rows in one SQL
// transaction; then everything is read again and compared; then the markers go,
// that of the SQL database last. Unfinished tells a server about it.
package transfer

import (
	"context"
	"time"

	"llmhist/modules/analytics"
	"llmhist/modules/auth"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/archive"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/history"
)

// Engines are the opened stores of one installation.
type Engines struct {
	DB        *database.DB
	Documents *database.Mongo // nil = DB keeps chats and figures
	Images    blob.Bucket
	Speech    blob.Bucket
}

// kinds names the engines for a manifest.
func (e Engines) kinds() archive.Engines {
	kinds := archive.Engines{SQL: string(e.DB.Dialect()), Documents: string(e.DB.Dialect()), Objects: "s3"}
	if e.Documents != nil {
		kinds.Documents = "mongodb"
	}
	if _, directory := e.Images.(*blob.Directory); directory {
		kinds.Objects = "directory"
	}
	return kinds
}

// keeper is what every module's archive can do.
type keeper interface {
	Streams() []string
	Export(ctx context.Context, out archive.Rows) error
	Import(ctx context.Context, stream string, lines *archive.Lines) error
	Complete(ctx context.Context) error
	Count(ctx context.Context) (int64, error)
	Clear(ctx context.Context) error
}

// holder is the archive of a module whose rows have objects.
type holder interface {
	keeper
	Service() string
	HeldStream() string
	Held(row []byte) (history.Held, error)
	EachOwned(ctx context.Context, visit func(owner int64, id string) error) error
	Exists(ctx context.Context, id string) (bool, error)
}

// store is one module's objects: the bucket's name in a set, and the bucket.
type store struct {
	name   string
	bucket blob.Bucket
}

// stores lists the buckets in the order of a set.
func (e Engines) stores() []store { return []store{{"image", e.Images}, {"speech", e.Speech}} }

func (e Engines) bucket(name string) blob.Bucket {
	for _, one := range e.stores() {
		if one.name == name {
			return one.bucket
		}
	}
	return nil
}

// holders returns the archives of the modules with objects, in the order of
// stores, over db.
func (e Engines) holders(db *database.DB) []holder {
	return []holder{image.NewArchive(db, e.Images.Name()), speech.NewArchive(db, e.Speech.Name())}
}

// inSQL returns the archives of what SQL keeps, over db. They export chats and
// figures of the accounts that keep names.
func (e Engines) inSQL(db *database.DB, keep func(userID int64) bool) []keeper {
	list := []keeper{auth.NewArchive(db)}
	for _, one := range e.holders(db) {
		list = append(list, one)
	}
	if e.Documents == nil {
		list = append(list, chat.NewArchive(db, nil).Within(keep, time.Time{}), analytics.NewArchive(db, nil).Within(keep, time.Time{}))
	}
	return list
}

// everybody keeps every account.
func everybody(int64) bool { return true }

// inDocuments returns the archives of what the document database keeps.
func (e Engines) inDocuments() []keeper {
	if e.Documents == nil {
		return nil
	}
	return []keeper{chat.NewArchive(nil, e.Documents), analytics.NewArchive(nil, e.Documents)}
}

// streams names every stream in the order in which a set stores them, which is
// one in which they can be imported.
func streams() []string {
	return streamsOf([]keeper{auth.Archive{}, image.Archive{}, speech.Archive{}, chat.Archive{}, analytics.Archive{}})
}

func streamsOf(keepers []keeper) []string {
	var names []string
	for _, one := range keepers {
		names = append(names, one.Streams()...)
	}
	return names
}
