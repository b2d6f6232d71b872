package testkit

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/logging"
	"llmhist/platform/uid"
)

// EachBucket runs test on an empty bucket of every engine: a directory, and the
// S3 server that TEST_S3_ENDPOINT names. Without that variable S3 is skipped, or
// fails when LLMHIST_TEST_ALL is set.
func EachBucket(t *testing.T, test func(t *testing.T, bucket blob.Bucket)) {
	t.Helper()
	t.Run("directory", func(t *testing.T) { test(t, Bucket(t, "b")) })
	t.Run("s3", func(t *testing.T) { test(t, S3(t)) })
}

// S3 returns an empty bucket on the S3 server of TEST_S3_ENDPOINT.
func S3(t testing.TB) *blob.S3 {
	t.Helper()
	return OpenS3(t, S3Options(t))
}

// S3Options returns how to reach the S3 server of TEST_S3_ENDPOINT, with the
// name of a bucket that is not there yet.
func S3Options(t testing.TB) blob.S3Options {
	t.Helper()
	endpoint := os.Getenv("TEST_S3_ENDPOINT")
	if endpoint == "" {
		if os.Getenv("LLMHIST_TEST_ALL") != "" {
			t.Fatal("TEST_S3_ENDPOINT is not set, and LLMHIST_TEST_ALL requires S3")
		}
		t.Skip("SKIPPED: no S3 server; set TEST_S3_ENDPOINT, TEST_S3_ACCESS_KEY and TEST_S3_SECRET_KEY or use make test-all")
	}
	return blob.S3Options{
		Endpoint: endpoint, AccessKey: os.Getenv("TEST_S3_ACCESS_KEY"), SecretKey: logging.Secret(os.Getenv("TEST_S3_SECRET_KEY")),
		Bucket: fmt.Sprintf("t%x", uid.New(time.Now()))[:40], LinkLife: 5 * time.Minute, TempDir: t.TempDir(),
	}
}

// OpenS3 opens the bucket that options name and removes its objects when the
// test ends.
func OpenS3(t testing.TB, options blob.S3Options) *blob.S3 {
	t.Helper()
	bucket, err := blob.OpenS3(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer bucket.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for {
			list, err := bucket.List(ctx, "", "", 1000)
			if err != nil || len(list) == 0 {
				return // the server goes with its run
			}
			for _, object := range list {
				_ = bucket.Delete(ctx, object.Key)
			}
		}
	})
	return bucket
}
