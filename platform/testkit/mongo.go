package testkit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/logging"
	"llmhist/platform/uid"
)

// Mongo returns an empty database on the server of TEST_MONGO_URI, a MongoDB or
// one that speaks its protocol, and drops it after the test. Without that
// variable the test is skipped, or fails when LLMHIST_TEST_ALL is set.
func Mongo(t testing.TB) *database.Mongo {
	t.Helper()
	uri, name := MongoAddress(t)
	return openMongo(t, uri, name)
}

// MongoThroughLink returns two handles to one empty database: direct, and one
// whose traffic goes through a link that a test can make fail.
func MongoThroughLink(t testing.TB) (direct, linked *database.Mongo, link *Link) {
	t.Helper()
	uri, name := mongoURI(t), mongoName()
	direct = openMongo(t, uri, name)
	t.Cleanup(func() { _ = direct.Drop(context.Background()) })
	link = newLink(t, hostOf(t, uri))
	through := MongoURI(t, uri, link.Address())
	target, _ := url.Parse(through) // was just made
	query := target.Query()
	query.Set("retryWrites", "false")
	target.RawQuery = query.Encode()
	return direct, openMongo(t, target.String(), name), link
}

// MongoURI returns uri for the same server at another address, such as that of
// a proxy before it.
func MongoURI(t testing.TB, uri, address string) string {
	t.Helper()
	target, err := url.Parse(uri)
	if err != nil {
		t.Fatal("TEST_MONGO_URI cannot be parsed")
	}
	target.Host = address
	query := target.Query()
	query.Set("directConnection", "true")
	target.RawQuery = query.Encode()
	if target.Path == "" {
		target.Path = "/"
	}
	return target.String()
}

// MongoAddress returns the server of TEST_MONGO_URI and the name of a database
// that is not there yet. It is dropped when the test ends.
func MongoAddress(t testing.TB) (uri, name string) {
	t.Helper()
	uri, name = mongoURI(t), mongoName()
	db := openMongo(t, uri, name)
	t.Cleanup(func() { _ = db.Drop(context.Background()) })
	return uri, name
}

func mongoURI(t testing.TB) string {
	t.Helper()
	uri := os.Getenv("TEST_MONGO_URI")
	if uri == "" {
		if os.Getenv("LLMHIST_TEST_ALL") != "" {
			t.Fatal("TEST_MONGO_URI is not set, and LLMHIST_TEST_ALL requires a server that speaks MongoDB's protocol")
		}
		t.Skip("SKIPPED: no MongoDB; set TEST_MONGO_URI or use make test-all")
	}
	return uri
}

func mongoName() string { return fmt.Sprintf("t%x", uid.New(time.Now()))[:40] }

func openMongo(t testing.TB, uri, name string) *database.Mongo {
	t.Helper()
	db, err := database.OpenMongo(t.Context(), logging.Secret(uri), name, Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}
