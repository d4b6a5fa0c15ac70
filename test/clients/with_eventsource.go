// Follows a stream of ssechat with the library github.com/donovanhide/eventsource, which is in
// Debian's package golang-github-donovanhide-eventsource-dev.
//
//	go run with_eventsource.go follow 'http://127.0.0.1:8080/events?room=lobby'
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/donovanhide/eventsource"
)

func main() {
	// The library reconnects by itself, with the last id. It does not notice a connection that is
	// silent.
	stream, err := eventsource.Subscribe(os.Args[2], "")
	if err != nil {
		log.Fatal(err)
	}
	for {
		select {
		case event := <-stream.Events:
			name := event.Event()
			if name == "" {
				name = "message"
			}
			json.NewEncoder(os.Stdout).Encode(map[string]string{
				"event": name, "id": event.Id(), "data": event.Data(),
			})
		case err := <-stream.Errors:
			log.Print("reconnecting: ", err)
		}
	}
}
