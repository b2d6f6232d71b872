package database_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/logging"
	"llmhist/platform/testkit"
)

func insertDocument(ctx context.Context, m *database.Mongo, id string) error {
	return m.Do(ctx, func(ctx context.Context) error {
		_, err := m.Collection("things").InsertOne(ctx, bson.M{"_id": id})
		return err
	})
}

func TestDocumentsAreKeptAndTheirFaultsAreTold(t *testing.T) {
	m := testkit.Mongo(t)
	for range 2 {
		if err := m.EnsureIndexes(t.Context(), "things", database.Index{Keys: bson.D{{Key: "n", Value: 1}}},
			database.Index{Keys: bson.D{{Key: "key", Value: 1}}, Unique: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := insertDocument(t.Context(), m, "a"); err != nil {
		t.Fatal(err)
	}
	if err := insertDocument(t.Context(), m, "a"); !database.IsDuplicate(err) {
		t.Fatalf("a duplicate is %v", err)
	}
	err := m.Do(t.Context(), func(ctx context.Context) error {
		return m.Collection("things").FindOne(ctx, bson.M{"_id": "none"}).Err()
	})
	if !database.IsNotFound(err) {
		t.Fatalf("no document is %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := insertDocument(ended, m, "b"); !errors.Is(err, context.Canceled) {
		t.Fatalf("an ended context is %v", err)
	}
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := insertDocument(past, m, "c"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a context out of time is %v", err)
	}
	if err := m.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var everyFault = []testkit.Fault{testkit.Refuse, testkit.Hang, testkit.HalfOpen, testkit.Reset, testkit.Garbage, testkit.Drip}

func TestDocumentsThatAreAwayAreSaidToBeWithinThreeSeconds(t *testing.T) {
	for _, trouble := range everyFault {
		t.Run(trouble.String(), func(t *testing.T) {
			_, m, link := testkit.MongoThroughLink(t)
			if err := insertDocument(t.Context(), m, "before"); err != nil {
				t.Fatal(err)
			}
			link.Set(trouble)
			for range 2 {
				start := time.Now()
				err := insertDocument(t.Context(), m, "during")
				if took := time.Since(start); took > 3*time.Second || !fault.Is(err, fault.Unavailable) || fault.CodeOf(err) != "documents_unavailable" {
					t.Fatalf("after %v: %v", took, err)
				}
			}
			link.Set(testkit.Pass)
			start := time.Now()
			err := insertDocument(t.Context(), m, "after")
			for err != nil && time.Since(start) < 3*time.Second {
				err = insertDocument(t.Context(), m, "after")
			}
			if err != nil || time.Since(start) > 3*time.Second {
				t.Fatalf("not back after %v: %v", time.Since(start), err)
			}
		})
	}
}

func TestABadMongoURIIsToldInOneLineWithoutItsSecret(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, c := range map[string]struct{ uri, db string }{
		"no server":        {"mongodb://user:s3cr%2Ft@127.0.0.1:1/", "x"},
		"a silent server":  {"mongodb://user:s3cr%2Ft@" + silent.Addr().String() + "/", "x"},
		"not a URI":        {"user:s3cr/t@nowhere", "x"},
		"a broken escape":  {"mongodb://user:s3cr/t%zz@127.0.0.1/", "x"},
		"an unknown host":  {"mongodb://user:s3cr%2Ft@no-such-host.invalid/", "x"},
		"a strange option": {"mongodb://user:s3cr%2Ft@127.0.0.1:1/?tls=maybe", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			m, err := database.OpenMongo(t.Context(), logging.Secret(c.uri), c.db, testkit.Logger())
			if err == nil {
				_ = m.Close(t.Context())
				t.Fatal("it was opened")
			}
			text := err.Error()
			if time.Since(start) > 5*time.Second || !strings.Contains(text, "MONGO_URI") || strings.Contains(text, "\n") ||
				strings.Contains(text, "s3cr") {
				t.Fatalf("after %v: %s", time.Since(start), text)
			}
		})
	}
	if _, err := database.OpenMongo(t.Context(), "mongodb://127.0.0.1:1/", "a b", testkit.Logger()); err == nil {
		t.Fatal("a bad name was taken")
	}
}

func TestPagesOfAQueryAreBoundedAndInItsOrder(t *testing.T) {
	m := testkit.Mongo(t)
	for _, id := range []string{"e", "b", "g", "a", "d", "f", "c"} {
		if err := insertDocument(t.Context(), m, id); err != nil {
			t.Fatal(err)
		}
	}
	query := func(ctx context.Context) (*mongo.Cursor, error) {
		return m.Collection("things").Find(ctx, bson.M{"_id": bson.M{"$gt": "a"}}, options.Find().SetSort(bson.M{"_id": 1}).SetBatchSize(2))
	}
	found := ""
	err := database.EachPage(t.Context(), m, query, func(page []bson.M) error {
		if len(page) > 2 {
			t.Errorf("a page of %d", len(page))
		}
		for _, document := range page {
			found += document["_id"].(string)
		}
		return nil
	})
	if err != nil || found != "bcdefg" {
		t.Errorf("%q, %v", found, err)
	}
	stop, visits := errors.New("enough"), 0
	err = database.EachPage(t.Context(), m, query, func([]bson.M) error {
		visits++
		return stop
	})
	if !errors.Is(err, stop) || visits != 1 {
		t.Errorf("%d visits, %v", visits, err)
	}
}
