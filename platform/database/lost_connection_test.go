package database_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"testing"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

const lastWords = "these are the last words"

// say is a statement that pgx prepares once.
func say(tx *gorm.DB, text string) error {
	var length int
	return tx.Raw("SELECT length(?)", text).Scan(&length).Error
}

// serveRelay passes connections on to a server and closes one at lastWords, as a server that dies does: in order, but without a word of its
// protocol.
func serveRelay(t *testing.T, target string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(client.(*net.TCPConn), target)
		}
	}()
	return listener.Addr().String()
}

func relay(client *net.TCPConn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(client, server) }() // ends with the server's connection
	buffer := make([]byte, 4096)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], []byte(lastWords)) {
			_ = client.CloseWrite()
			continue
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestAConnectionThatIsLostInTheMiddleIsAnOutage(t *testing.T) {
	address, err := url.Parse(testkit.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(db *database.DB) error{
		"reading": func(db *database.DB) error { return say(db.Read(t.Context()), lastWords) },
		"writing": func(db *database.DB) error {
			return db.Write(t.Context(), func(tx *gorm.DB) error { return say(tx, lastWords) })
		},
		"writing after the loss": func(db *database.DB) error {
			return db.Write(t.Context(), func(tx *gorm.DB) error {
				_ = say(tx, lastWords)
				return say(tx, "again")
			})
		},
		"committing after the loss": func(db *database.DB) error {
			return db.Write(t.Context(), func(tx *gorm.DB) error {
				_ = say(tx, lastWords)
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			through := *address
			through.Host = serveRelay(t, address.Host)
			db, err := database.OpenPostgres(t.Context(), through.String(), testkit.Logger())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if err := say(db.Read(t.Context()), "the first words"); err != nil {
				t.Fatal(err)
			}
			err = database.Fault(use(db))
			if !fault.Is(err, fault.Unavailable) || fault.CodeOf(err) != "database_unavailable" {
				t.Errorf("%v (%T)", err, err)
			}
		})
	}
}
