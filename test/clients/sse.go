package main

import (
	"bufio"
	"bytes"
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

// splitLines returns a function that splits at CR, LF and CRLF, and drops a line without an end.
func splitLines() bufio.SplitFunc {
	afterCR := false
	return func(data []byte, atEOF bool) (int, []byte, error) {
		skip := 0
		if afterCR && len(data) > 0 {
			afterCR = false
			if data[0] == '\n' { // the second half of a CRLF
				skip = 1
			}
		}
		if end := bytes.IndexAny(data[skip:], "\r\n"); end >= 0 {
			afterCR = data[skip+end] == '\r'
			return skip + end + 1, data[skip : skip+end], nil
		}
		if atEOF {
			skip = len(data)
		}
		return skip, nil, nil
	}
}

// read calls take for each event of one connection.
func (r *reader) read(body io.Reader, take func(event)) error {
	scanner := bufio.NewScanner(body)
	scanner.Buffer(nil, 1<<20) // a line can be longer than the 64 KiB that Scanner allows
	scanner.Split(splitLines())
	next, data := event{ID: r.lastID}, []string{}
	for first := true; scanner.Scan(); first = false {
		line := scanner.Text()
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
	return scanner.Err()
}
