#!/usr/bin/python3
"""A gate between the chat page and the server, which does to the page's messages what a test says.

    gate.py PORT FOLDER

Listens on a free port of 127.0.0.1, whose number it writes to FOLDER/port, and passes every request
on to PORT of 127.0.0.1. Only a POST with an Idempotency-Key waits for FOLDER/modes: it uses up the
first line, or obeys the last one, which stays.

    pass            is passed on
    lose            is passed on, but its answer is lost
    drop            is lost itself
    hold            waits until the file changes, and obeys again
    503 [SECONDS]   gets this status, with these seconds as Retry-After

FOLDER/posts has a line of JSON for each of them, as soon as it is over:
{"mode", "key", "message", "status", "begin", "end"}, times in seconds. FOLDER/requests has a line for
each request, as soon as it comes: method, path and token.
"""

import asyncio
import json
import pathlib
import sys
import time
import urllib.parse

SERVER, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])


def next_mode():
    first, *others = (FOLDER / "modes").read_text().splitlines()
    if others:
        (FOLDER / "modes").write_text("\n".join(others) + "\n")
    return first


async def pump(reader, writer, first):
    """Copies what a side sends; `first` gets the first piece."""
    while data := await reader.read(65536):
        if not first.done():
            first.set_result(data)
        if writer:
            writer.write(data)
            await writer.drain()


async def pass_on(request, reader, writer):
    """Returns the status. Ends when either side does."""
    first = asyncio.get_running_loop().create_future()
    from_server, to_server = await asyncio.open_connection("127.0.0.1", SERVER)
    to_server.write(request)
    ways = [asyncio.create_task(pump(from_server, writer, first)), asyncio.create_task(reader.read())]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    to_server.close()
    return int(first.result().split()[1]) if first.done() else 0


async def post(request, fields, body, reader, writer):
    entry = {"key": fields["idempotency-key"], "message": json.loads(body).get("message"), "begin": time.time()}
    mode = next_mode()
    while mode == "hold":
        await asyncio.sleep(0.02)
        mode = next_mode()
    status, *seconds = mode.split()
    if mode == "pass":
        entry["status"] = await pass_on(request, reader, writer)
    elif mode == "lose":
        await pass_on(request, reader, None)
    elif mode != "drop":
        head = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n"
        head += "".join(f"Retry-After: {each}\r\n" for each in seconds)
        writer.write(f"{head}\r\n".encode())
        entry["status"] = int(status)
    with open(FOLDER / "posts", "a", encoding="utf-8") as posts:
        print(json.dumps({"mode": mode, **entry, "end": time.time()}), file=posts)


async def serve(reader, writer):
    """Serves one request. The connection then ends, so that no answer needs to be understood."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        method, target, _ = lines[0].split(" ")
        path, _, query = target.partition("?")
        token = fields.get("authorization") or urllib.parse.parse_qs(query).get("access_token", [""])[0]
        with open(FOLDER / "requests", "a", encoding="utf-8") as requests:
            print(method, path, token, file=requests)
        kept = [line for line in lines if not line.lower().startswith("connection:")]
        request = "\r\n".join([*kept, "Connection: close", "", ""]).encode("latin-1") + body
        if method == "POST" and "idempotency-key" in fields:
            await post(request, fields, body, reader, writer)
        else:
            await pass_on(request, reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    (FOLDER / "port").write_text(f"{server.sockets[0].getsockname()[1]}\n")
    await server.serve_forever()


asyncio.run(main())
