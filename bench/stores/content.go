package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	owners = 10
	span   = 90 * 24 * time.Hour
)

// content is what a full store is filled with. It is the same in every run but
// for the day that it ends on.
type content struct {
	images, messages, speech int

	owners   [owners]int64 // the first one signs in
	end      time.Time
	sessions []session
	turns    []turn // a question and its answer each, in order of time
}

// session is a chat with a number of turns.
type session struct {
	id       string
	owner    int // which of the owners
	turns    int
	from, to time.Time
}

// turn says when something was asked in which session.
type turn struct {
	at      time.Time
	session int
}

// planContent spreads the rows over owners, sessions and 90 days: a tenth of
// the messages in one session of the first owner, who has a session for every
// hundred messages; the others' sessions are of every length.
func planContent(o options, user int64) *content {
	c := &content{images: o.images, messages: o.messages &^ 1, speech: o.images / 10, end: time.Now().UTC().Truncate(24 * time.Hour)}
	for i := range c.owners {
		c.owners[i] = user + int64(i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	left := c.messages / 2
	add := func(owner, turns int) {
		turns = min(turns, left)
		left -= turns
		from, to := c.end.Add(-span), c.end
		if len(c.sessions) > 0 { // all but the longest are over within a day or two
			from = from.Add(time.Duration(random.Int64N(int64(span - 48*time.Hour))))
			to = from.Add(time.Duration(turns) * time.Duration(random.Int64N(int64(5*time.Minute))+int64(time.Second)))
			to = time.UnixMilli(min(to.UnixMilli(), c.end.UnixMilli())).UTC()
		}
		c.sessions = append(c.sessions, session{id: newID(random, from), owner: owner, turns: turns, from: from, to: to})
	}
	add(0, c.messages/20)
	for range c.messages/100 - 1 {
		add(0, 1+random.IntN(20))
	}
	for left > 0 {
		add(1+random.IntN(owners-1), 1+min(2000, int(random.ExpFloat64()*25)))
	}
	c.planTurns()
	return c
}

// planTurns puts the turns of all sessions into the order in which they were
// taken, which is how a table fills.
func (c *content) planTurns() {
	c.turns = make([]turn, 0, c.messages/2)
	for i, s := range c.sessions {
		step := s.to.Sub(s.from) / time.Duration(s.turns)
		for n := range s.turns {
			c.turns = append(c.turns, turn{at: s.from.Add(time.Duration(n) * step).Truncate(time.Millisecond), session: i})
		}
	}
	slices.SortStableFunc(c.turns, func(a, b turn) int { return cmp.Compare(a.at.UnixMilli(), b.at.UnixMilli()) })
}

// imageAt returns when image i of the plan was made.
func (c *content) imageAt(i int) time.Time { return c.moment(i, c.images) }

func (c *content) moment(i, of int) time.Time {
	return c.end.Add(-span + time.Duration(i)*(span/time.Duration(of))).Truncate(time.Millisecond)
}

// newID returns a UUIDv7 (RFC 9562 section 5.7) whose random part is random's,
// so that every run has the same.
func newID(random *rand.Rand, at time.Time) string {
	var id uuid.UUID
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	for i := 6; i < len(id); i++ {
		id[i] = byte(random.Uint32())
	}
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id.String()
}

var prose = strings.Repeat("The quick answer travels one packet at a time, and the slow one arrives in the end. ", 20)

// text returns between least and most characters.
func text(random *rand.Rand, least, most int) string {
	start := random.IntN(80)
	return prose[start : start+least+random.IntN(most-least)]
}
