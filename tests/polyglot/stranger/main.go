// A headless client of a Carillon inbox: commands on stdin, answers on stdout, notes on stderr.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/coder/websocket"
)

type fields = map[string]any

func main() {
	c := &client{url: os.Getenv("INBOX_URL"), token: os.Getenv("USER_TOKEN"), limit: 50, events: make(chan linkEvent)}
	c.who = fields{"client_id": os.Getenv("CLIENT_ID"), "user_id": os.Getenv("USER_ID"), "user_hash": os.Getenv("USER_HASH")}
	if limit, err := strconv.Atoi(os.Getenv("LIMIT")); err == nil {
		c.limit = limit
	}
	commands := make(chan fields)
	go func() {
		defer close(commands)
		lines := bufio.NewReader(os.Stdin) // not a Scanner, as a line may be long
		for {
			line, err := lines.ReadBytes('\n')
			if command := (fields{}); json.Unmarshal(line, &command) == nil && command != nil {
				commands <- command
			}
			if err != nil {
				return
			}
		}
	}()
	c.run(commands)
}

// command carries out what needs no gateway. All else becomes a frame: its type is what to do, its fields are the command's.
func (c *client) command(command fields) {
	id, shown := command["id"], c.inbox.shown()
	delete(command, "id")
	kind, _ := command["do"].(string)
	delete(command, "do")
	switch kind {
	case "state":
		state := "connecting"
		if c.ended {
			state = "ended"
		} else if c.live() {
			state = "live"
		}
		c.answer(id, fields{"state": state, "unread_count": c.inbox.unread, "items": shown, "close": c.lastClose,
			"new": append([]string{}, c.inbox.fresh...), "resumes": append([]string{}, c.inbox.resumes...)})
		return
	case "cut":
		if c.link != nil {
			c.drop("cut as asked for")
		}
		c.answer(id, fields{"ok": true})
		return
	case "mark_all":
		if len(shown) == 0 { // nobody was shown anything, so nothing may be marked
			c.answer(id, fields{"changed_count": 0, "unread_count": c.inbox.unread})
			return
		}
		// The date of now, also if it is sent later: what arrives meanwhile stays unread.
		kind, command["until"] = "mark", fields{"time": shown[0].str("date")}
	case "more":
		kind, command["limit"] = "list", min(c.limit, 100)
	case "get_preferences":
		command["scope"] = "ALL"
	case "mark", "patch_preferences", "renew":
	default:
		c.fail(id, "UNKNOWN_COMMAND", "there is no command "+kind)
		return
	}
	command["type"] = kind
	if c.ended && kind != "renew" { // a new token is what signs in anew
		c.fail(id, "ENDED", "the session ended for good")
	} else if len(encode(command)) > 16<<10-100 { // less the ref; a greater frame would end the session for good
		c.fail(id, "TOO_LARGE", "it does not fit in a frame of 16 KiB")
	} else {
		c.requests = append(c.requests, &request{id: id, kind: kind, frame: command})
		c.useNewToken()
	}
}

func (c *client) close(command fields) {
	for _, r := range c.requests {
		c.fail(r.id, "CLOSED", "closed before an answer came")
	}
	if c.live() {
		go func() { // the closing handshake waits for the reader, and the reader for somebody who listens
			for range c.events {
			}
		}()
		_ = c.link.ws.Close(websocket.StatusNormalClosure, "")
	}
	if command != nil {
		c.answer(command["id"], fields{"ok": true})
	}
}

func (c *client) answer(id any, result fields) {
	result["id"] = id
	fmt.Printf("%s\n", encode(result))
}

func (c *client) fail(id any, code, message string) {
	log.Printf("%v: %s", id, message)
	c.answer(id, fields{"error": fields{"code": code, "message": message, "field": nil}})
}
