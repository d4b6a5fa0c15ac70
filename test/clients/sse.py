"""Reads Server-Sent Events from bytes, by the rules of the HTML Standard, 9.2.6.

It depends on no library; with_requests.py, with_httpx.py and with_aiohttp.py show how to feed it.
"""

import codecs
import re


def is_temporary(status):
    """Tells whether a later attempt can succeed. Proxies also send 408 and 429."""
    return status >= 500 or status in (408, 429)


class Reader:
    """Turns the pieces of a stream into events, wherever the network has cut it."""

    def __init__(self):
        self.last_id = ""  # send it as Last-Event-ID when you reconnect
        self.retry = 1.0  # wait so many seconds before you reconnect; the server changes it
        self.begin()

    def begin(self):
        """Starts a connection: drops the event that the last connection left unfinished."""
        # "utf-8-sig" skips a byte order mark. The decoder keeps the first bytes of a character
        # whose other bytes are in the next piece.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._line = ""
        self._after_cr = False
        self._event, self._id, self._data = "", self.last_id, []

    def pause(self, retry_after):
        """Returns how many seconds to wait before you reconnect. A refusal can ask for more."""
        seconds = int(retry_after) if re.fullmatch("[0-9]+", retry_after or "") else 0
        return max(self.retry, seconds)

    def feed(self, piece):
        """Yields the events that this piece completes, as {"event", "id", "data"}."""
        text = self._decoder.decode(piece)
        if text and self._after_cr:
            text = text.removeprefix("\n")  # the second half of a CRLF
            self._after_cr = False
        if text:
            self._after_cr = text.endswith("\r")
        # Not splitlines(): it also splits at U+2028, U+0085 and others, which are part of a text.
        *lines, self._line = re.split("\r\n|\r|\n", self._line + text)
        for line in lines:
            event = self._take(line)
            if event:
                yield event

    def _take(self, line):
        if line == "":
            return self._dispatch()
        name, _, value = line.partition(":")  # a comment has an empty name, which is ignored
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            self.retry = int(value) / 1000
        return None

    def _dispatch(self):
        # Only now is the id the last one: an event that is cut off must be sent again.
        self.last_id = self._id
        event = {"event": self._event or "message", "id": self._id, "data": "\n".join(self._data)}
        complete = bool(self._data)
        self._event, self._data = "", []
        return event if complete else None
