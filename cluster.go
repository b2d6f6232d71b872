package main

import (
	"context"
	"os"
	"strings"

	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/platform/instance"
	"llmhist/transfer"
)

// joinOthers makes this server known to those that share its database, and
// refuses to be one that cannot work with them. A restore or a copy that began to
// fill the database while this server started is seen here at the latest: it
// stores its marker and then looks for servers.
func (a *App) joinOthers(ctx context.Context) error {
	home, err := datadir.Home(a.config.Data.Dir)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	signing, accepted := a.auth.SigningKeys()
	a.instance, err = instance.Join(ctx, a.db, instance.Self{
		Home: home, Host: host, Version: version, KeyID: signing, TrustedKeys: accepted, Stores: a.sharedStores(),
	}, a.logger)
	if err != nil {
		return err
	}
	a.onClose(a.instance.Leave)
	return transfer.Unfinished(ctx, a.db)
}

// sharedStores are what servers of one database have to share besides it.
func (a *App) sharedStores() []instance.Store {
	objects := ""
	if a.config.S3.Endpoint != "" {
		objects = strings.Join([]string{withoutSecrets(a.config.S3.Endpoint), a.config.S3.Bucket, a.config.S3.SpeechBucket}, " ")
	}
	documents := withoutSecrets(a.config.Mongo.URI.Reveal())
	if documents != "" {
		documents += " " + a.config.Mongo.DBName
	}
	return []instance.Store{
		{Setting: "S3_ENDPOINT", Address: objects, Need: instance.Unavoidable,
			Else: "neither would find the images and speech that the other keeps in its data directory"},
		{Setting: "MONGO_URI", Address: documents, Need: instance.AllOrNone,
			Else: "neither would find the chats and figures that the other keeps"},
		{Setting: "REDIS_URL", Address: withoutSecrets(a.config.Redis.URL.Reveal()), Need: instance.Helpful,
			Else: "every server counts limits for itself"},
	}
}

// withoutSecrets returns the hosts and the path of an address: no user, no
// password, no parameters.
func withoutSecrets(address string) string {
	if _, rest, found := strings.Cut(address, "://"); found {
		address = rest
	}
	address, _, _ = strings.Cut(address, "?")
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		address = address[at+1:]
	}
	return strings.ToLower(strings.TrimSuffix(address, "/"))
}

// requireNoServer refuses what needs the database for itself while a server
// lives on it. The lock of the data directory is held, which is enough for a
// database that is a file in there.
func requireNoServer(ctx context.Context, db *database.DB, dataDir string) error {
	if db.Dialect() == database.SQLite {
		return nil
	}
	home, err := datadir.Home(dataDir)
	if err != nil {
		return err
	}
	return instance.RequireNone(ctx, db, home)
}
