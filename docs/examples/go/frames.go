package main

import "encoding/json"

// The frames, as far as this client reads and writes them (sections 4 to 10). Fields that are not here are ignored.

type signIn struct {
	Token   string   `json:"token"`
	Device  string   `json:"device"`
	Client  string   `json:"client"`
	Cursors []cursor `json:"cursors"`
}

type post struct {
	Log         string  `json:"log"`
	RandomID    uint64  `json:"randomId,string"`
	Message     message `json:"message"`
	FirstSentMS int64   `json:"firstSentMs,string,omitempty"`
}

type message struct {
	Text string `json:"text"`
}

// serverFrame has one body.
type serverFrame struct {
	Ref        uint32       `json:"ref"`
	SignedIn   *signedIn    `json:"signedIn"`
	Difference *difference  `json:"difference"`
	Event      *event       `json:"event"`
	TooLong    *cursor      `json:"tooLong"`
	ComeBack   *comeBack    `json:"comeBack"`
	Error      *serverError `json:"error"`
}

type signedIn struct {
	ServerTimeMS int64      `json:"serverTimeMs,string"`
	Logs         []logState `json:"logs"`
	Limits       struct {
		PingWithinMS uint32 `json:"pingWithinMs"`
	} `json:"limits"`
}

type logState struct {
	cursor
	Status string       `json:"status"`
	Error  *serverError `json:"error"`
}

type difference struct {
	Kind   string          `json:"kind"`
	Events []event         `json:"events"`
	Cursor cursor          `json:"cursor"`
	Info   json.RawMessage `json:"info"`
}

type comeBack struct {
	AfterMS uint32 `json:"afterMs"`
	Reason  string `json:"reason"`
}

// event is one entry of a log. Its content is the one field that is none of the others.
type event struct {
	cursor
	Sender  string `json:"sender"`
	content map[string]json.RawMessage
}

func (e *event) UnmarshalJSON(data []byte) error {
	type plain event
	if err := json.Unmarshal(data, (*plain)(e)); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &e.content); err != nil {
		return err
	}
	for _, name := range []string{"log", "epoch", "pts", "timeMs", "sender"} {
		delete(e.content, name)
	}
	return nil
}
