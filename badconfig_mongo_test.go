//go:build !race

package main

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// guardedMongo answers in MongoDB's wire protocol
// (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/) as a server
// that lets nobody in, and returns its host and port. The server of the other tests
// lets everybody in. What it says of a failed sign-in repeats the secret, as a proxy's
// error might.
func guardedMongo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go answerAsGuardedMongo(connection)
		}
	}()
	return listener.Addr().String()
}

const (
	mongoHeader  = 16
	mongoReply   = 1    // OP_REPLY
	mongoQuery   = 2004 // OP_QUERY, of the first greeting
	mongoMessage = 2013 // OP_MSG
)

func answerAsGuardedMongo(connection net.Conn) {
	defer func() { _ = connection.Close() }()
	for {
		head := make([]byte, mongoHeader)
		if _, err := io.ReadFull(connection, head); err != nil {
			return
		}
		length, id, kind := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
		if length < mongoHeader || length > 1<<20 {
			return
		}
		body := make([]byte, length-mongoHeader)
		if _, err := io.ReadFull(connection, body); err != nil {
			return
		}
		greeting, _ := bson.Marshal(bson.D{{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "ismaster", Value: true}, {Key: "helloOk", Value: true}, {Key: "msg", Value: "isdbgrid"},
			{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}, {Key: "saslSupportedMechs", Value: bson.A{"SCRAM-SHA-256"}}})
		refusal, _ := bson.Marshal(bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: 18}, {Key: "codeName", Value: "AuthenticationFailed"},
			{Key: "errmsg", Value: "Authentication failed for me:" + hiddenWord}})
		var answer []byte
		switch {
		case kind == mongoQuery: // flags, cursor, start and number of documents before it
			answer = append(mongoHead(mongoReply, id, 20+len(greeting)), append(binary.LittleEndian.AppendUint32(make([]byte, 16), 1), greeting...)...)
		case len(body) > 5 && isGreeting(body[5:]):
			answer = append(mongoHead(mongoMessage, id, 5+len(greeting)), append(make([]byte, 5), greeting...)...)
		default:
			answer = append(mongoHead(mongoMessage, id, 5+len(refusal)), append(make([]byte, 5), refusal...)...)
		}
		if _, err := connection.Write(answer); err != nil {
			return
		}
	}
}

func mongoHead(kind, to uint32, body int) []byte {
	head := binary.LittleEndian.AppendUint32(nil, uint32(mongoHeader+body))
	head = binary.LittleEndian.AppendUint32(head, 1)
	head = binary.LittleEndian.AppendUint32(head, to)
	return binary.LittleEndian.AppendUint32(head, kind)
}

func isGreeting(command bson.Raw) bool {
	elements, err := command.Elements()
	return err == nil && len(elements) > 0 && (elements[0].Key() == "hello" || elements[0].Key() == "isMaster")
}
