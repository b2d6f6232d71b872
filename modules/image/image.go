package image

import (
	"strconv"
	"time"

	"llmhist/platform/history"
)

// Status says how far a request for an image has come.
type Status string

// The statuses. Every request ends in one of the last three.
const (
	StatusQueued     Status = "queued"     // waits for its turn
	StatusProcessing Status = "processing" // a provider is at work
	StatusCompleted  Status = "completed"  // the picture is stored
	StatusFailed     Status = "failed"     // there is none; Failure says why
	StatusCancelled  Status = "cancelled"  // the client went away first
)

// mediaName is where a request's picture is, below its prefix.
const mediaName = "image/original.png"

// pngType is the content type of every stored picture.
const pngType = "image/png"

// Image is one request for a picture and what came of it.
type Image struct {
	ID        string // UUIDv7 whose time is CreatedAt
	UserID    *int64 // nil for one made anonymously
	RequestID string // of the HTTP request

	Prompt         string
	NegativePrompt string
	Size           string // as asked, "WxH" in pixels
	Style          string
	Seed           *int64 // what makes the picture again; nil where the model takes none

	Status   Status
	Instance string  // the server that works or worked on it
	Failure  Failure // for StatusFailed and StatusCancelled
	Provider string  // who makes or made it
	Model    string

	Key    string // of the picture in the bucket; "" unless completed
	Bucket string
	Media  Media

	Took       time.Duration // from the accepted request to the end, whole milliseconds
	CreatedAt  time.Time     // UTC, whole milliseconds
	FinishedAt time.Time     // zero while unfinished

	Damage error // why a list has only a part of it: Media's texts and FinishedAt cannot be read
}

// Media describes the stored picture; zero unless completed.
type Media struct {
	Width, Height     int // pixels of the stored picture
	Bytes             int64
	SHA256            string // hex, of the stored PNG
	SourceContentType string // what the provider sent, by its bytes
}

// Failure is why there is no picture, in words that may be shown.
type Failure struct {
	Code   string
	Detail string
}

// key returns where the picture of the request is stored.
func (i Image) key() string { return history.MediaKey(i.ID, mediaName) }

// Size is the width and height of a picture in pixels.
type Size struct{ Width, Height int }

// String returns the size as requests spell it, such as "512x512".
func (s Size) String() string { return strconv.Itoa(s.Width) + "x" + strconv.Itoa(s.Height) }

// Scope says whose images a list holds. The zero Scope is nobody's.
type Scope struct{ number int64 }

// everyone is the number of the scope that holds every image, as in the table
// of counts; users have positive numbers.
const everyone = -1

// Everyone is the scope of all images, anonymous ones included.
func Everyone() Scope { return Scope{number: everyone} }

// OwnedBy is the scope of one user's images.
func OwnedBy(userID int64) Scope { return Scope{number: max(userID, 0)} }

// Erasure is an image whose row is gone and whose objects have to go.
type Erasure struct {
	ID         string
	UserID     *int64
	Processing bool   // a request was still at work on it when its row went
	Instance   string // the server of that request
}
