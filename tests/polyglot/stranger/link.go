package main

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// link is one connection, from the dial to its end. It tells the client's loop by events, and decides nothing.
type link struct {
	ctx   context.Context
	cut   context.CancelFunc // closes the TCP connection without a goodbye, as a lost network does
	ws    *websocket.Conn    // there once a frame has come
	heard atomic.Int64       // when anything came, the gateway's pings included
}

// linkEvent is a frame, or the end of the link (then frame is nil).
type linkEvent struct {
	from  *link
	frame []byte
	code  int
	err   error
}

func open(url string, hello fields, events chan<- linkEvent) *link {
	l := &link{}
	l.ctx, l.cut = context.WithCancel(context.Background())
	go func() {
		err := l.run(url, hello, events)
		l.cut()
		code := int(websocket.CloseStatus(err))
		if code < 0 { // no close frame, or not even a handshake: what a browser would see
			code = 1006
		}
		events <- linkEvent{l, nil, code, err}
	}()
	return l
}

func (l *link) run(url string, hello fields, events chan<- linkEvent) error {
	dialing, done := context.WithTimeout(l.ctx, 10*time.Second)
	defer done()
	ws, _, err := websocket.Dial(dialing, url, &websocket.DialOptions{
		Subprotocols:   []string{"carillon.v1"},
		OnPingReceived: func(context.Context, []byte) bool { l.heardNow(); return true },
	})
	if err != nil {
		return err
	}
	ws.SetReadLimit(-1) // the library's 32 KiB are less than a welcome, and the page names no bound
	l.ws = ws
	l.send(hello)
	for {
		_, data, err := ws.Read(l.ctx)
		if err != nil {
			return err
		}
		l.heardNow()
		events <- linkEvent{l, data, 0, nil}
	}
}

func (l *link) heardNow() { l.heard.Store(time.Now().UnixNano()) }

// send hands over one frame. Where that fails or takes too long the link ends, and the reader tells of it.
func (l *link) send(frame fields) {
	ctx, done := context.WithTimeout(l.ctx, 5*time.Second)
	defer done()
	_ = l.ws.Write(ctx, websocket.MessageText, encode(frame))
}

// encode cannot fail: only what was JSON before gets here.
func encode(v fields) []byte { data, _ := json.Marshal(v); return data }
