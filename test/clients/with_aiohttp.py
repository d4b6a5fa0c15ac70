"""A client of ssechat with the library aiohttp.

    python3 with_aiohttp.py follow 'http://127.0.0.1:8080/events?room=lobby'
    echo '{"message":"hello"}' | python3 with_aiohttp.py post http://127.0.0.1:8080/messages KEY
"""

import asyncio
import json
import sys

import aiohttp

import sse

# The server sends a heartbeat every 15 seconds, so 45 without a byte mean that the connection is
# dead. A stream has no end, so it must not have a limit in all.
STREAM = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=45)


async def problem(answer):
    """Returns what the server says about an error: the `detail` of its application/problem+json."""
    try:
        return json.loads(await answer.text())["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.reason  # not an answer of ssechat, but perhaps of a proxy


async def follow(url):
    """Prints the events of a stream. If the connection is lost, it resumes where it stopped."""
    reader = sse.Reader()
    async with aiohttp.ClientSession(timeout=STREAM) as session:
        while True:
            headers, retry_after = {"Accept": "text/event-stream"}, None
            if reader.last_id:
                headers["Last-Event-ID"] = reader.last_id
            try:
                async with session.get(url, headers=headers) as answer:
                    if answer.status == 204:
                        return  # there is nothing more to come
                    is_stream = answer.content_type == "text/event-stream"
                    retry_after = answer.headers.get("Retry-After")
                    if not sse.is_temporary(answer.status) and not (answer.status == 200 and is_stream):
                        sys.exit(f"{answer.status} {await problem(answer)}")
                    if answer.status == 200:
                        reader.begin()
                        async for piece in answer.content.iter_any():
                            for event in reader.feed(piece):
                                print(json.dumps(event), flush=True)
            except (aiohttp.ClientError, asyncio.TimeoutError) as lost:
                print(f"reconnecting: {lost}", file=sys.stderr)
            await asyncio.sleep(reader.pause(retry_after))


async def post(url, body, key):
    """Publishes a message. After a lost connection, repeat this with the same key."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    async with aiohttp.ClientSession() as session:
        async with session.post(url, data=body, headers=headers) as answer:
            if not answer.ok:
                sys.exit(f"{answer.status} {await problem(answer)}")
            print(answer.status, (await answer.json())["id"])


if __name__ == "__main__":
    if sys.argv[1] == "follow":
        asyncio.run(follow(sys.argv[2]))
    else:
        key = sys.argv[3] if len(sys.argv) > 3 else None
        asyncio.run(post(sys.argv[2], sys.stdin.buffer.read(), key))
