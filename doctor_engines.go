package main

import (
	"context"
	"log/slog"

	"llmhist/config"
	"llmhist/platform/database"
	"llmhist/platform/redisclient"
)

// checkEngines opens each of the larger engines that is configured as serving
// does, which takes at most five seconds for each, and closes it again.
func checkEngines(ctx context.Context, cfg config.Config) []finding {
	list := []finding{}
	if cfg.Mongo.URI != "" {
		list = append(list, engineFinding("documents", "MongoDB, database "+cfg.Mongo.DBName, openedDocuments(ctx, cfg)))
	}
	if cfg.S3.Endpoint != "" {
		for _, name := range []string{cfg.S3.Bucket, cfg.S3.SpeechBucket} {
			list = append(list, engineFinding("objects", "S3, bucket "+name, openedBucket(ctx, cfg, name)))
		}
	}
	if cfg.Redis.URL != "" {
		list = append(list, engineFinding("limits", "Redis", openedLimits(ctx, cfg)))
	}
	return list
}

func engineFinding(check, engine string, err error) finding {
	if err != nil {
		return finding{check, broken, oneLine(err), "Check that it runs and that the setting is right."}
	}
	return finding{check, good, engine, ""}
}

func openedDocuments(ctx context.Context, cfg config.Config) error {
	documents, err := database.OpenMongo(ctx, cfg.Mongo.URI, cfg.Mongo.DBName, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return documents.Close(ctx)
}

func openedBucket(ctx context.Context, cfg config.Config, name string) error {
	bucket, err := openS3(ctx, cfg, name, false)
	if err != nil {
		return err
	}
	bucket.Close()
	return nil
}

func openedLimits(ctx context.Context, cfg config.Config) error {
	client, err := redisclient.Open(ctx, cfg.Redis.URL)
	if err != nil {
		return err
	}
	return client.Close()
}
