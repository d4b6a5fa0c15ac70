"""A client of ssechat with the library requests.

    python3 with_requests.py follow 'http://127.0.0.1:8080/events?room=lobby'
    echo '{"message":"hello"}' | python3 with_requests.py post http://127.0.0.1:8080/messages KEY
"""

import json
import sys
import time

import requests

import sse


def problem(answer):
    """Returns what the server says about an error: the `detail` of its application/problem+json."""
    try:
        return answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.reason  # not an answer of ssechat, but perhaps of a proxy


def follow(url):
    """Prints the events of a stream. If the connection is lost, it resumes where it stopped."""
    reader = sse.Reader()
    while True:
        headers, retry_after = {"Accept": "text/event-stream"}, None
        if reader.last_id:
            headers["Last-Event-ID"] = reader.last_id.encode()
        try:
            # The server sends a heartbeat every 15 seconds, so 45 without a byte mean that the
            # connection is dead.
            with requests.get(url, headers=headers, stream=True, timeout=(10, 45)) as answer:
                if answer.status_code == 204:
                    return  # there is nothing more to come
                is_stream = answer.headers.get("Content-Type", "").startswith("text/event-stream")
                retry_after = answer.headers.get("Retry-After")
                if not sse.is_temporary(answer.status_code) and not (answer.status_code == 200 and is_stream):
                    sys.exit(f"{answer.status_code} {problem(answer)}")
                if answer.status_code == 200:
                    reader.begin()
                    # Of a stream without chunks, requests delivers a piece only when it has all the
                    # bytes that it was asked for.
                    size = None if answer.raw.chunked else 1
                    for piece in answer.iter_content(size):
                        for event in reader.feed(piece):
                            print(json.dumps(event), flush=True)
        except requests.RequestException as lost:
            print(f"reconnecting: {lost}", file=sys.stderr)
        time.sleep(reader.pause(retry_after))


def post(url, body, key):
    """Publishes a message. After a lost connection, repeat this with the same key."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    answer = requests.post(url, data=body, headers=headers, timeout=30)
    if not answer.ok:
        sys.exit(f"{answer.status_code} {problem(answer)}")
    print(answer.status_code, answer.json()["id"])


if __name__ == "__main__":
    if sys.argv[1] == "follow":
        follow(sys.argv[2])
    else:
        post(sys.argv[2], sys.stdin.buffer.read(), sys.argv[3] if len(sys.argv) > 3 else None)
