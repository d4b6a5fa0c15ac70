"""Serves the streams of payloads.jsonl, for tests of programs that read streams.

    python3 serve_payloads.py payloads.jsonl [REQUESTS]

Most payloads, and what must come out, are facts from the Web Platform Tests (eventsource/format-*);
the rules are those of the HTML Standard, 9.2.6. The columns of the table: the `raw` bytes, the
`events` as [event, id, data], the `next` Last-Event-ID, for how many milliseconds the client must
`wait`, and the `type` of the content. LONG stands for 2048 times "x".

It prints its port, then appends a line of JSON for each reconnection to the file REQUESTS. Each
request of a client (/stream?client=NAME) is answered with the next stream, so the client must
reconnect; 204 is the last answer. An event "next" comes before each payload, in a stream of its
own, which also takes back the id and the time to reconnect. With &mode=bytes, each byte is sent
separately. With &skip=TEXT, lines of the table that contain TEXT are left out.

Other paths are for one behaviour each, and note each request in the file REQUESTS:

    /silent?client=NAME   never gets an answer
    /open?client=NAME     a stream with one event that is neither chunked nor ended
    /later?client=NAME    429 with a Retry-After of 2 seconds, 408, a stream with one event, 204
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

with open(sys.argv[1], encoding="utf-8") as table:
    LINES = list(table)
SENT = {}  # by client: how many streams it got, and when the last one began
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        behaviour = {"/silent": self.silent, "/open": self.open, "/later": self.later}.get(
            urlsplit(self.path).path
        )
        if behaviour:
            behaviour(query["client"][0])
            return
        if "client" not in query:  # a page of this origin, from which a browser can open a stream
            self.answer(200, "text/html", b"", False)
            return
        client = query["client"][0]
        count, began = SENT.get(client, (0, 0))
        skip = query.get("skip", ["\n\n"])[0]
        payloads = [json.loads(line) for line in LINES if skip not in line]
        if count % 2 == 0 and count > 0:
            self.report(client, payloads[count // 2 - 1]["name"], began)
        if count == 2 * len(payloads):
            self.send_response(204)
            self.end_headers()
            return
        payload = payloads[count // 2]
        # Before the answer, since the client can come back as soon as it has all of it.
        SENT[client] = (count + 1, time.monotonic())
        if count % 2 == 0:
            raw = f"id\nretry:30\nevent:next\ndata:{payload['name']}\n\n"
            self.answer(200, "text/event-stream", raw.encode(), False)
        else:
            raw = payload["raw"].replace("LONG", "x" * 2048).encode()
            content_type = payload.get("type", "text/event-stream")
            self.answer(200, content_type, raw, query["mode"] == ["bytes"])

    def silent(self, client):
        self.report(client, "silent", 0)
        self.rfile.read()  # until the client closes

    def open(self, client):
        self.report(client, "open", 0)
        head = "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        self.wfile.write(f"{head}data:hello\n\n".encode())
        self.rfile.read()

    def later(self, client):
        count, began = SENT.get(client, (0, 0))
        if count > 0:
            self.report(client, f"later {count}", began)
        SENT[client] = (count + 1, time.monotonic())
        if count == 2:
            self.answer(200, "text/event-stream", b"data:hello\n\n", False)
            return
        self.send_response([429, 408, 200, 204][count])
        self.send_header("Content-Length", "0")
        if count == 0:
            self.send_header("Retry-After", "2")
        self.end_headers()

    def report(self, client, name, began):
        """Notes with which id, and after how many milliseconds, a client came back."""
        ms = round((time.monotonic() - began) * 1000)
        last = self.headers.get("Last-Event-ID", "").encode("latin-1").decode()
        with LOCK, open(sys.argv[2], "a", encoding="utf-8") as requests:
            line = {"client": client, "name": name, "last": last, "ms": ms}
            print(json.dumps(line), file=requests)

    def answer(self, status, content_type, body, separately):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Connection", "close")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        step = 1 if separately else max(len(body), 1)
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
