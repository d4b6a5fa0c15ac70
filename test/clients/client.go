// A client of ssechat with Go's standard library.
//
//	go run client.go sse.go follow 'http://127.0.0.1:8080/events?room=lobby'
//	echo '{"message":"hello"}' | go run client.go sse.go post http://127.0.0.1:8080/messages KEY
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// problem returns the status and what the server says about an error: the `detail` of its
// application/problem+json.
func problem(answer *http.Response) string {
	var body struct{ Detail string }
	if json.NewDecoder(answer.Body).Decode(&body) != nil {
		return answer.Status // not an answer of ssechat, but perhaps of a proxy
	}
	return fmt.Sprint(answer.StatusCode, " ", body.Detail)
}

// isTemporary tells whether a later attempt can succeed. Proxies also send 408 and 429.
func isTemporary(status int) bool {
	return status >= 500 || status == 408 || status == 429
}

// connect opens the stream once and prints its events. It returns how long a refusal asks to wait,
// and ends the program at an error that a later attempt cannot mend.
func connect(r *reader, url string) (time.Duration, error) {
	// The server sends a heartbeat every 15 seconds, so a connection that is silent for 45 is dead.
	ctx, cancel := context.WithCancel(context.Background())
	watch := time.AfterFunc(45*time.Second, cancel)
	defer cancel()
	defer watch.Stop()
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	if r.lastID != "" {
		request.Header.Set("Last-Event-ID", r.lastID)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	switch isStream := strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream"); {
	case answer.StatusCode == 200 && isStream:
		return 0, r.read(answer.Body, func(e event) {
			watch.Reset(45 * time.Second)
			json.NewEncoder(os.Stdout).Encode(e)
		})
	case answer.StatusCode == 204: // there is nothing more to come
		os.Exit(0)
	case !isTemporary(answer.StatusCode):
		log.Fatal(problem(answer))
	}
	seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31)
	return time.Duration(seconds) * time.Second, errors.New(answer.Status)
}

// post publishes a message. After a lost connection, repeat this with the same key.
func post(url string, body io.Reader, key string) {
	request, err := http.NewRequest("POST", url, body)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		log.Fatal(problem(answer))
	}
	var message struct{ ID string }
	if err := json.NewDecoder(answer.Body).Decode(&message); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.StatusCode, message.ID)
}

func main() {
	log.SetFlags(0)
	if os.Args[1] == "post" {
		body, _ := io.ReadAll(os.Stdin)
		post(os.Args[2], bytes.NewReader(body), strings.Join(os.Args[3:], ""))
		return
	}
	r := reader{retry: time.Second}
	for {
		wait, err := connect(&r, os.Args[2])
		if err != nil {
			log.Print("reconnecting: ", err)
		}
		if wait < r.retry {
			wait = r.retry
		}
		time.Sleep(wait)
	}
}
