package chat

import (
	"cmp"
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// TakesWhole is false: an exchange that waits for its answer costs one update more,
// and what is stored at once other servers know of.
func (r mongoRepository) TakesWhole() bool { return false }

// BeginExchange takes two positions, inserts the exchange, which is when it
// becomes visible, and then changes the session. A crash after the first step
// leaves a gap in the positions; one after the second an exchange like any other
// that was interrupted, whose client was told nothing. A session that was
// deleted in between takes the exchange along, whichever comes last: either the
// deletion finds it, or the third step finds no session and removes it.
func (r mongoRepository) BeginExchange(ctx context.Context, begin exchangeStart) error {
	if begin.New {
		return r.beginSession(ctx, begin)
	}
	claimed, err := r.insertExchange(ctx, begin)
	if err != nil {
		return sessionFault(err)
	}
	err = r.applyBegun(ctx, begin, claimed.Title)
	if fault.Is(err, fault.NotFound) {
		if err := r.delete(ctx, r.exchanges(), bson.M{"_id": begin.Answer.ID}); err != nil {
			return err
		}
	}
	return err
}

// maxClaims bounds how often positions are taken for one exchange.
const maxClaims = 64

// insertExchange inserts the exchange at two positions it takes. MongoDB gives
// positions away once. FerretDB 1 may give them to two at a time: the unique
// index refuses the second, which takes others.
func (r mongoRepository) insertExchange(ctx context.Context, begin exchangeStart) (claimed sessionDocument, err error) {
	own := ownDocument(begin.Session.UserID, begin.Session.ID)
	for range maxClaims {
		err = r.db.Do(ctx, func(ctx context.Context) error {
			return r.sessions().FindOneAndUpdate(ctx, own, bson.M{"$inc": bson.M{"last_position": int64(2)}},
				options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&claimed)
		})
		if err != nil {
			return claimed, err
		}
		err = r.insert(ctx, r.exchanges(), newExchangeDocument(begin, claimed.LastPosition-1))
		if !database.IsDuplicate(err) {
			return claimed, err
		}
		if known, findErr := r.hasMessage(ctx, begin); known || findErr != nil {
			return claimed, cmp.Or(findErr, err)
		}
	}
	return claimed, err
}

// hasMessage reports whether a message of the exchange is stored already.
func (r mongoRepository) hasMessage(ctx context.Context, begin exchangeStart) (bool, error) {
	either := bson.M{"$or": bson.A{bson.M{"_id": begin.Answer.ID}, bson.M{"question._id": begin.Question.ID}}}
	err := r.db.Do(ctx, func(ctx context.Context) error { return r.exchanges().FindOne(ctx, either).Err() })
	if database.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// beginSession inserts the exchange first: it is invisible until its session
// comes. After a crash in between FailUnfinished removes it.
func (r mongoRepository) beginSession(ctx context.Context, begin exchangeStart) error {
	exchange := newExchangeDocument(begin, 1)
	if err := r.insert(ctx, r.exchanges(), exchange); err != nil {
		return sessionFault(err)
	}
	err := r.insert(ctx, r.sessions(), newSessionDocument(begin.applied(), 2))
	if database.IsDuplicate(err) {
		if undo := r.delete(ctx, r.exchanges(), bson.M{"_id": exchange.ID}); undo != nil {
			return undo
		}
	}
	return sessionFault(err)
}

// applyBegun changes the session as begin says. The proposed title goes only to
// a session that still has none.
func (r mongoRepository) applyBegun(ctx context.Context, begin exchangeStart, title string) error {
	own := ownDocument(begin.Session.UserID, begin.Session.ID)
	fields := bson.M{"updated_at": begin.applied().UpdatedAt}
	if begin.System != nil {
		fields["system"] = *begin.System
	}
	if begin.Model != nil {
		fields["model"] = *begin.Model
	}
	if model := begin.lastModel(); model != nil {
		fields["last_model"] = *model
	}
	if title == "" && begin.Title != "" {
		untitled := ownDocument(begin.Session.UserID, begin.Session.ID)
		untitled["title"] = ""
		if _, err := r.update(ctx, r.sessions(), untitled, bson.M{"title": begin.Title}); err != nil {
			return err
		}
	}
	return r.changeSession(ctx, own, fields)
}

// FinishAnswer changes the exchange only while its answer is open, so that one
// of many outcomes wins and its tokens count once. A crash before the session is
// changed leaves its place in the list and its last model as they were.
func (r mongoRepository) FinishAnswer(ctx context.Context, answer message) error {
	stored, err := r.ownExchange(ctx, answer)
	if err != nil {
		return err
	}
	open := bson.M{"_id": stored.ID, "$or": bson.A{
		bson.M{"status": statusProcessing}, bson.M{"status": statusFailed, "error_code": codeInterrupted},
	}}
	changed, err := r.update(ctx, r.exchanges(), open, outcomeFields(answer))
	if err != nil {
		return err
	}
	if !changed {
		return r.refuseSecondOutcome(ctx, answer)
	}
	fields := bson.M{"updated_at": answer.FinishedAt}
	if answer.Content != "" {
		fields["last_model"] = answer.Model
	}
	return r.changeSession(ctx, ownDocument(answer.UserID, answer.SessionID), fields)
}

func (r mongoRepository) FindThread(ctx context.Context, userID int64, thread string) (string, error) {
	if thread == "" {
		return "", nil
	}
	var document exchangeDocument
	newest := options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}}).SetProjection(bson.M{"session_id": 1})
	err := r.db.Do(ctx, func(ctx context.Context) error {
		return r.exchanges().FindOne(ctx, bson.M{"thread": thread, "user_id": userID}, newest).Decode(&document)
	})
	if database.IsNotFound(err) {
		return "", nil
	}
	return document.SessionID, err
}

// FindAnswer looks for the id alone, as liveSession does.
func (r mongoRepository) FindAnswer(ctx context.Context, userID int64, id string) (message, error) {
	var document exchangeDocument
	err := r.db.Do(ctx, func(ctx context.Context) error {
		return r.exchanges().FindOne(ctx, bson.M{"_id": id}).Decode(&document)
	})
	if err == nil && document.UserID != userID {
		err = noSuchSession()
	}
	if err == nil {
		_, err = r.liveSession(ctx, userID, document.SessionID)
	}
	if err != nil {
		return message{}, answerFault(err)
	}
	return document.newestFirst(0)[0], nil
}

func (r mongoRepository) refuseSecondOutcome(ctx context.Context, answer message) error {
	if _, err := r.ownExchange(ctx, answer); err != nil {
		return err // it was deleted meanwhile
	}
	return fault.New(fault.Conflict, "already_finished", "This answer has its outcome already.")
}

// ownExchange returns the exchange of an answer whose session is the user's and
// is not being deleted.
func (r mongoRepository) ownExchange(ctx context.Context, answer message) (exchangeDocument, error) {
	var document exchangeDocument
	if _, err := r.liveSession(ctx, answer.UserID, answer.SessionID); err != nil {
		return document, err
	}
	err := r.db.Do(ctx, func(ctx context.Context) error {
		return r.exchanges().FindOne(ctx, bson.M{"_id": answer.ID}, options.FindOne().SetProjection(bson.M{"session_id": 1})).Decode(&document)
	})
	if err == nil && document.SessionID != answer.SessionID {
		err = noSuchSession()
	}
	return document, sessionFault(err)
}

func (r mongoRepository) insert(ctx context.Context, into *mongo.Collection, document any) error {
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := into.InsertOne(ctx, document)
		return err
	})
}

// update sets fields of one document and reports whether one matched.
func (r mongoRepository) update(ctx context.Context, in *mongo.Collection, which, fields bson.M) (bool, error) {
	var matched int64
	err := r.db.Do(ctx, func(ctx context.Context) error {
		result, err := in.UpdateOne(ctx, which, bson.M{"$set": fields})
		if err == nil {
			matched = result.MatchedCount
		}
		return err
	})
	return matched > 0, err
}

func (r mongoRepository) delete(ctx context.Context, from *mongo.Collection, which bson.M) error {
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := from.DeleteOne(ctx, which)
		return err
	})
}

type sessionDocument struct {
	ID           string    `bson:"_id"`
	UserID       int64     `bson:"user_id"`
	Title        string    `bson:"title"`
	System       string    `bson:"system"`
	Model        string    `bson:"model"`
	LastModel    string    `bson:"last_model"`
	LastPosition int64     `bson:"last_position"`
	Deleted      bool      `bson:"deleted"`
	CreatedAt    time.Time `bson:"created_at"`
	UpdatedAt    time.Time `bson:"updated_at"`
}

func newSessionDocument(s session, lastPosition int64) sessionDocument {
	return sessionDocument{ID: s.ID, UserID: s.UserID, Title: s.Title, System: s.System, Model: s.Model, LastModel: s.LastModel,
		LastPosition: lastPosition, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
}

// session returns the session; sums are of its exchanges' figures.
func (d sessionDocument) session(sums map[string]int64) session {
	return session{
		ID: d.ID, UserID: d.UserID, Title: d.Title, System: d.System, Model: d.Model, LastModel: d.LastModel, MessageCount: sums["messages"],
		Tokens:    tokens{Input: sums["input_tokens"], Output: sums["output_tokens"], Estimated: sums["estimated"] > 0},
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
}

// exchangeDocument has the id and the figures of the answer at its top, where
// every server can sum them.
type exchangeDocument struct {
	ID           string           `bson:"_id"`
	SessionID    string           `bson:"session_id"`
	UserID       int64            `bson:"user_id"`
	Position     int64            `bson:"position"`
	Messages     int64            `bson:"messages"` // 2, so that they can be counted by summing
	Question     questionDocument `bson:"question"`
	Content      string           `bson:"content"`
	Status       string           `bson:"status"`
	Instance     string           `bson:"instance"`
	Provider     string           `bson:"provider"`
	Model        string           `bson:"model"`
	FinishReason string           `bson:"finish_reason"`
	ErrorCode    string           `bson:"error_code"`
	ErrorDetail  string           `bson:"error_detail"`
	InputTokens  int64            `bson:"input_tokens"`
	OutputTokens int64            `bson:"output_tokens"`
	Estimated    int64            `bson:"estimated"` // 0 or 1
	Extra        string           `bson:"extra,omitempty"`
	Thread       string           `bson:"thread,omitempty"`
	CreatedAt    time.Time        `bson:"created_at"`
	FinishedAt   *time.Time       `bson:"finished_at"`
}

type questionDocument struct {
	ID         string    `bson:"_id"`
	Content    string    `bson:"content"`
	CreatedAt  time.Time `bson:"created_at"`
	FinishedAt time.Time `bson:"finished_at"`
	Extra      string    `bson:"extra,omitempty"`
}

func newExchangeDocument(begin exchangeStart, position int64) exchangeDocument {
	q, a := begin.Question, begin.Answer
	document := exchangeDocument{
		ID: a.ID, SessionID: a.SessionID, UserID: a.UserID, Position: position, Messages: 2, Content: a.Content, Status: a.Status, Instance: a.Instance,
		Provider: a.Provider, Model: a.Model, FinishReason: a.FinishReason, ErrorCode: a.ErrorCode, ErrorDetail: a.ErrorDetail,
		InputTokens: a.Tokens.Input, OutputTokens: a.Tokens.Output, Extra: a.Extra, Thread: a.Thread,
		CreatedAt: a.CreatedAt, Question: questionDocument{q.ID, q.Content, q.CreatedAt, q.FinishedAt, q.Extra},
	}
	if a.Tokens.Estimated {
		document.Estimated = 1
	}
	if !a.FinishedAt.IsZero() {
		document.FinishedAt = &a.FinishedAt
	}
	return document
}

// outcomeFields are the fields of an exchange that finishing its answer sets.
func outcomeFields(answer message) bson.M {
	fields := bson.M{
		"content": answer.Content, "status": answer.Status, "provider": answer.Provider, "model": answer.Model,
		"finish_reason": answer.FinishReason, "error_code": answer.ErrorCode, "error_detail": answer.ErrorDetail,
		"input_tokens": answer.Tokens.Input, "output_tokens": answer.Tokens.Output, "estimated": int64(0), "finished_at": answer.FinishedAt,
	}
	if answer.Tokens.Estimated {
		fields["estimated"] = int64(1)
	}
	if answer.Extra != "" {
		fields["extra"] = answer.Extra
	}
	if answer.Thread != "" {
		fields["thread"] = answer.Thread
	}
	return fields
}

// newestFirst returns the answer and the question, of which only those before
// the position count; 0 = both.
func (d exchangeDocument) newestFirst(before int64) []message {
	answer := message{
		ID: d.ID, SessionID: d.SessionID, UserID: d.UserID, Position: d.Position + 1, Role: roleAssistant, Content: d.Content, Status: d.Status, Instance: d.Instance,
		Provider: d.Provider, Model: d.Model, FinishReason: d.FinishReason, ErrorCode: d.ErrorCode, ErrorDetail: d.ErrorDetail,
		Tokens: tokens{Input: d.InputTokens, Output: d.OutputTokens, Estimated: d.Estimated > 0},
		Extra:  d.Extra, Thread: d.Thread, CreatedAt: d.CreatedAt.UTC(),
	}
	if d.FinishedAt != nil {
		answer.FinishedAt = d.FinishedAt.UTC()
	}
	question := message{
		ID: d.Question.ID, SessionID: d.SessionID, UserID: d.UserID, Position: d.Position, Role: roleUser, Content: d.Question.Content,
		Status: statusCompleted, Extra: d.Question.Extra, CreatedAt: d.Question.CreatedAt.UTC(), FinishedAt: d.Question.FinishedAt.UTC(),
	}
	if before > 0 && answer.Position >= before {
		return []message{question}
	}
	return []message{answer, question}
}
