package main

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"
)

type event struct {
	Event string `json:"event"`
	ID    string `json:"id"`
	Data  string `json:"data"`
}

// reader reads Server-Sent Events by the rules of the HTML Standard, 9.2.6. It is what a client
// knows from one connection to the next.
type reader struct {
	lastID string        // send it as Last-Event-ID when you reconnect
	retry  time.Duration // wait so long before you reconnect; the server changes it
}

// lines reads lines that end with CR, LF or CRLF. They have no limit: after a line that is too long, a
// client could only resume at the same event, and fail again.
type lines struct {
	*bufio.Reader
	afterCR bool
}

// next returns the next line. It drops a line without an end.
func (l *lines) next() (string, error) {
	var line []byte
	for {
		c, err := l.ReadByte()
		if err != nil {
			return "", err
		}
		skip := l.afterCR && c == '\n' // the second half of a CRLF
		l.afterCR = c == '\r'
		if !skip && (c == '\r' || c == '\n') {
			return string(line), nil
		}
		if !skip {
			line = append(line, c)
		}
	}
}

// read calls take for each event of one connection.
func (r *reader) read(body io.Reader, take func(event)) error {
	l := lines{Reader: bufio.NewReader(body)}
	next, data := event{ID: r.lastID}, []string{}
	for first := true; ; first = false {
		line, err := l.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			line = strings.TrimPrefix(line, "\ufeff") // a byte order mark
		}
		if line == "" {
			r.lastID = next.ID // only now: an event that is cut off must be sent again
			if next.Event == "" {
				next.Event = "message"
			}
			if next.Data = strings.Join(data, "\n"); len(data) > 0 {
				take(next)
			}
			next, data = event{ID: next.ID}, nil
			continue
		}
		field, value, _ := strings.Cut(line, ":") // a comment has an empty field, which is ignored
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			next.Event = value
		case "data":
			data = append(data, value)
		case "id":
			if !strings.Contains(value, "\x00") {
				next.ID = value
			}
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
				r.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}
