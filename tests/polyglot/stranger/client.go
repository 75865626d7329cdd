package main

import (
	"encoding/json"
	"errors"
	"log"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// request is a command that the gateway has to answer. It outlives connections: a lost answer is asked for again.
type request struct {
	id      any
	kind    string
	frame   fields
	ref     string    // "" while it is not sent
	after   time.Time // and not to be sent before
	retries int
}

// client belongs to the goroutine of run; all others talk to it over channels.
type client struct {
	url, token string // the newest token that is known to be good
	who        fields // of the hello, where there is no token
	limit      int

	inbox  inbox
	events chan linkEvent
	link   *link // nil between two tries

	dialAt, openedAt, pingedAt time.Time
	liveSince                  time.Time // zero: no welcome on this link
	awaitsPong                 bool
	tries                      int
	ended                      bool // until somebody signs in anew
	needsToken                 bool // after 4003: nothing to come back with
	lastClose                  *int

	requests []*request
	lastRef  int
	mayAsk   float64 // frames that may be sent now, a little fewer than the gateway allows
	filledAt time.Time
}

func (c *client) live() bool { return !c.liveSince.IsZero() }

func (c *client) run(commands <-chan fields) {
	ticks := time.NewTicker(50 * time.Millisecond) // one clock for all that has a time: there is little of it
	for {
		select {
		case command := <-commands:
			if command == nil || command["do"] == "close" {
				c.close(command)
				return
			}
			c.command(command)
		case e := <-c.events:
			if e.from == c.link && e.frame != nil {
				c.received(e.frame)
			} else if e.from == c.link { // and not one that was given up already
				c.lost(e.code, e.err)
			}
		case now := <-ticks.C:
			c.tick(now)
		}
		if c.live() {
			c.pump(time.Now())
		}
	}
}

func (c *client) tick(now time.Time) {
	switch {
	case c.link == nil:
		if !c.ended && !c.needsToken && !now.Before(c.dialAt) {
			c.openedAt, c.link = now, open(c.url, c.hello(), c.events)
		}
	case !c.live():
		if now.Sub(c.openedAt) > 30*time.Second { // the page has no bound for this
			c.drop("no welcome")
		}
	case c.awaitsPong && c.link.heard.Load() >= c.pingedAt.UnixNano(): // anything is as good as the pong
		c.awaitsPong = false
	case c.awaitsPong && now.Sub(c.pingedAt) > 10*time.Second:
		c.drop("nothing came after a ping")
	case !c.awaitsPong && now.Sub(c.pingedAt) >= 25*time.Second:
		c.pingedAt, c.awaitsPong = now, true
		c.link.send(fields{"type": "ping"})
	}
}

func (c *client) hello() fields {
	hello := maps.Clone(c.who)
	if c.token != "" {
		hello = fields{"token": c.token}
	}
	if c.inbox.cursor != "" {
		hello["cursor"] = c.inbox.cursor
	}
	hello["type"], hello["limit"] = "hello", c.limit
	return hello
}

func (c *client) drop(why string) {
	c.link.cut()
	c.lost(1006, errors.New(why))
}

// lost decides what the end of a connection, or of a try, means.
func (c *client) lost(code int, err error) {
	log.Printf("closed with %d: %v", code, err)
	if c.live() && time.Since(c.liveSince) >= 10*time.Second {
		c.tries = 0
	}
	c.dialAt = time.Now().Add(rand.N(min(500*time.Millisecond<<min(c.tries, 6), 30*time.Second)))
	c.tries++
	c.link, c.liveSince, c.awaitsPong, c.lastClose = nil, time.Time{}, false, &code
	c.ended, c.needsToken = code >= 4500 || code == 1009, code == 4003
	c.inbox.endList()
	c.requests = slices.DeleteFunc(c.requests, func(r *request) bool {
		r.ref = "" // to be sent again: all can be repeated without harm
		over := c.ended || c.needsToken && r.frame["token"] == c.token
		if over {
			c.fail(r.id, "ENDED", "the session ended with "+strconv.Itoa(code))
		}
		return over
	})
	c.useNewToken()
}

// useNewToken comes back with the token of a renewal that waits, if without one there is no coming back. Otherwise the
// hello has the token that is known to be good: a wrong one would end it for good there, but costs nothing in a renew.
func (c *client) useNewToken() {
	i := slices.IndexFunc(c.requests, func(r *request) bool { return r.kind == "renew" })
	if i >= 0 && (c.ended || c.needsToken) {
		c.token, _ = c.requests[i].frame["token"].(string) // the renew itself follows, for its result
		c.ended, c.needsToken, c.tries, c.dialAt = false, false, 0, time.Now()
	}
}

func (c *client) received(data []byte) {
	var f frame
	if err := json.Unmarshal(data, &f); err != nil {
		log.Printf("a frame that cannot be read: %v", err)
		return
	}
	switch f.Type {
	case "welcome":
		c.inbox.welcome(f)
		c.liveSince = time.Now()
		c.pingedAt, c.filledAt, c.mayAsk = c.liveSince, c.liveSince, 90
	case "result", "error":
		i := slices.IndexFunc(c.requests, func(r *request) bool { return r.ref != "" && r.ref == f.Ref })
		if i < 0 {
			log.Printf("an answer to no request: %s", data)
		} else if r := c.requests[i]; c.answered(r, f, data) {
			c.requests = slices.Delete(c.requests, i, i+1)
		}
	default:
		c.inbox.event(f)
	}
}

// answered is false where the request is to be asked again.
func (c *client) answered(r *request, f frame, data []byte) bool {
	if f.Type == "result" && r.kind == "list" {
		c.inbox.joinPage(f)
		c.answer(r.id, fields{"items_count": len(f.Items), "has_more": f.NextPageToken != ""})
		return true
	}
	if f.Type == "result" {
		if r.kind == "renew" {
			c.token = r.frame["token"].(string)
		}
		result := fields{}
		_ = json.Unmarshal(data, &result) // what was read once can be read again
		delete(result, "type")
		delete(result, "ref")
		c.answer(r.id, result)
		return true
	}
	if r.kind == "list" {
		c.inbox.endList()
	}
	switch {
	case f.Code == "TOO_MANY_REQUESTS":
		r.after = time.Now().Add(200 * time.Millisecond)
	case f.Code == "UNAVAILABLE" && r.retries < 4: // after 1, 2, 4 and 8 s; then whoever asked has to know
		r.after = time.Now().Add(time.Second << r.retries)
		r.retries++
	default:
		c.answer(r.id, fields{"error": fields{"code": f.Code, "message": f.Message, "field": f.Field}})
		return true
	}
	r.ref = ""
	return false
}

// pump sends the requests that may be sent now: 8 may wait for their answers, and 20 a second be sent, 100 at once.
func (c *client) pump(now time.Time) {
	c.mayAsk, c.filledAt = min(90, c.mayAsk+18*now.Sub(c.filledAt).Seconds()), now
	waiting := 0
	for _, r := range c.requests {
		if r.ref != "" {
			waiting++
		}
	}
	for _, r := range slices.Clone(c.requests) {
		if r.ref != "" || waiting == 8 || c.mayAsk < 1 || now.Before(r.after) || r.kind == "list" && c.inbox.listing {
			continue // of two lists the second has to wait, as the first one tells where it begins
		}
		if r.kind == "list" && c.inbox.pageToken == "" {
			c.requests = slices.DeleteFunc(c.requests, func(o *request) bool { return o == r })
			c.answer(r.id, fields{"items_count": 0, "has_more": false})
			continue
		}
		if r.kind == "list" {
			r.frame["page_token"] = c.inbox.pageToken // of now: a snapshot may have come since the command
			c.inbox.listing = true
		}
		waiting, c.mayAsk, c.lastRef = waiting+1, c.mayAsk-1, c.lastRef+1
		r.ref = strconv.Itoa(c.lastRef)
		r.frame["ref"] = r.ref
		c.link.send(r.frame)
	}
}
