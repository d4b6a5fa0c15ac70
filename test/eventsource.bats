#!/usr/bin/env bats
# EventSource in a real browser against the real server, without the chat page; and a file of --www.
#
# seconds: 15

load lib/helper
load lib/webdriver

setup() {
  webdriver_start
}

teardown() {
  webdriver_stop
  stop_all
}

# ---- EventSource without the page ----

@test "EventSource delivers what was posted, whatever the bytes" {
  start_server
  browser
  open_page "$URL/healthz"
  run async_script '
    const texts = ["", " ", "  two before", "a\nb", "a\rb", "a\r\nb", "a\n\rb", "\n", "\r\n\r\n",
      "\na\n", "end\n", "data: x", "id: 7", "event: gap\ndata: {}\n\nid: 9", ": comment", ":",
      "retry: 1", "data", "\ufeffmark", "a\u0000b", "\u2067a\u2028b\u2029\u202ec", "a\u2028b\u2029c\u0085d", "\t tab",
      "😀 \u05d0\u05d1", "x".repeat(20000), "\n".repeat(300), "a\u000bb\u000cc"];
    const values = [null, 0, false, {}, [], {"a\nb": "c\r\nd\u2028\u0000"}, ["data: \n\n"], "\n"];
    const names = ["news", "data: x", ": x", " x", "id", "é😀", "x".repeat(64)];
    const rooms = ["bytes", "data: x", "é 😀", "a+b&c=d%20"];
    const wrong = [];
    const lines = (text) => text.replace(/\r\n|\r/g, "\n");
    // Posts a body and waits for its event.
    async function check(body, name, matches) {
      const arrived = new Promise((resolve) =>
        source.addEventListener(name, resolve, { once: true }));
      const answer = await fetch("/messages", { method: "POST", body: JSON.stringify(body),
        headers: { "Content-Type": "application/json" } });
      if (answer.status !== 201) {
        wrong.push([body, answer.status, await answer.text()]);
        return;
      }
      const { id } = await answer.json();
      const event = await arrived;
      if (event.lastEventId !== id || !matches(event.data)) wrong.push([body, event.data, id]);
    }
    let source;
    async function listen(room) {
      source?.close();
      source = new EventSource("/events?" + new URLSearchParams({ room }));
      await new Promise((resolve) => source.addEventListener("ready", resolve));
    }
    await listen("bytes");
    for (const data of texts) {
      await check({ room: "bytes", data }, "message", (got) => got === lines(data));
      await check({ room: "bytes", event: "text", data }, "text", (got) => got === lines(data));
    }
    for (const data of values.slice(1)) {
      const same = (got) => typeof data === "string" ? got === data
        : JSON.stringify(JSON.parse(got)) === JSON.stringify(data);
      await check({ room: "bytes", event: "value", data }, "value", same);
    }
    for (const event of names) {
      await check({ room: "bytes", event, data: "named" }, event, (got) => got === "named");
    }
    const chat = texts.filter((text) => text.trim() && text.length <= 4096
      && !/[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(text.replace(/\r/g, "")));
    for (const message of chat) {
      await check({ room: "bytes", message }, "message",
        (got) => JSON.parse(got).message === message);
    }
    for (const name of ["data: x", "\"quoted\" \\ back", "<b>", "😀".repeat(32)]) {
      await check({ room: "bytes", name, message: "x" }, "message",
        (got) => JSON.parse(got).name === name);
    }
    for (const room of rooms) {
      await listen(room);
      await check({ room, message: "x" }, "message", (got) => JSON.parse(got).room === room);
    }
    source.close();
    return wrong;'
  same "$output" '[]'
}

@test "a tutorial's client works: onopen, onmessage, addEventListener" {
  start_server
  browser
  open_page "$URL/healthz"
  script 'window.seen = [];
    const source = new EventSource("/events");
    source.onopen = () => seen.push("open");
    source.onmessage = (event) => seen.push(event.data);
    source.addEventListener("news", (event) => seen.push("news " + event.data));'
  wait_until 'seen[0] === "open"'
  accepts '{"data": "plain"}'
  accepts '{"event": "news", "data": {"title": "it works"}}'
  wait_until 'seen.length === 3'
  same "$(script 'return seen')" '["open","plain","news {\"title\":\"it works\"}"]'
}

@test "EventSource reconnects by itself after a restart and gets what it missed" {
  start_server --retry 100
  browser
  open_page "$URL/healthz"
  script 'window.seen = [];
    const source = new EventSource("/events");
    source.onmessage = (event) => seen.push(event.data);
    source.addEventListener("ready", () => seen.push("ready"));
    source.addEventListener("gap", (event) => seen.push(JSON.parse(event.data).reason));'
  wait_until 'seen.length === 1'
  stop_server
  start_server --retry 100 --listen "127.0.0.1:$PORT"
  accepts '{"data": "missed?"}'
  wait_until 'seen.length === 4'
  same "$(script 'return [...seen].sort()')" '["missed?","ready","ready","restarted"]'
}

@test "a page of another origin can use the server, with credentials, only if --cors allows it" {
  start_server
  local other=$URL
  start_server --cors "$other"
  browser
  open_page "$other/healthz"
  local listen='
    const base = arguments[0];
    const source = new EventSource(base + "/events", { withCredentials: true });
    const ready = await new Promise((resolve) => {
      source.addEventListener("ready", () => resolve(true));
      source.onerror = () => resolve(source.readyState !== EventSource.CLOSED && "still trying");
    });
    if (!ready) return "refused";
    const message = new Promise((resolve) => {
      source.onmessage = (event) => resolve(event.data);
    });
    const answer = await fetch(base + "/messages", { method: "POST", credentials: "include",
      headers: { "Content-Type": "application/json", "Idempotency-Key": "k1" },
      body: JSON.stringify({ data: "over there" }) });
    return answer.status + " " + await message;'
  same "$(async_script "$listen" "$URL")" '201 over there'
  open_page "$URL/healthz"
  same "$(async_script "$listen" "$other")" refused
}

@test "a page of another origin can send the fields that libraries add, and read those of errors" {
  (umask 077 && openssl rand -hex 32 >"$BATS_TEST_TMPDIR/key")
  local other token fields='"Cache-Control": "no-cache", "X-Requested-With": "XMLHttpRequest"'
  start_server
  other=$URL
  start_server --cors "$other" --key "$BATS_TEST_TMPDIR/key" --post-rate 1
  browser
  open_page "$other/healthz"
  # Prints an answer's status, and its fields as a script can read them.
  local fetch='
    const [url, method, headers, body] = arguments;
    const answer = await fetch(url, { method, headers: JSON.parse(headers), body: body === "" ? undefined : body });
    const fields = ["WWW-Authenticate", "Allow"].map((name) => answer.headers.get(name) ?? "-");
    return [answer.status, ...fields, answer.headers.get("Retry-After") >= 1].join("; ");'
  same "$(async_script "$fetch" "$URL/messages" GET "{$fields, \"Last-Event-ID\": \"1-0\"}" '')" '401; Bearer; -; false'
  same "$(async_script "$fetch" "$URL/rooms" POST '{}' x)" '405; -; GET, HEAD, OPTIONS; false'
  token=$("$SSECHAT" token --key "$BATS_TEST_TMPDIR/key" --rooms lobby --publish)
  fields+=", \"Authorization\": \"Bearer $token\", \"Content-Type\": \"application/json\", \"Idempotency-Key\": \"k1\""
  same "$(async_script "$fetch" "$URL/messages" POST "{$fields}" '{"message": "one"}')" '201; -; -; false'
  for _ in {1..20}; do
    run async_script "$fetch" "$URL/messages" POST "{$fields}" '{"message": "one"}'
    [ "${output%%;*}" = 200 ] || break
  done
  same "$output" '429; -; -; true'
  # A field that is not on the list still needs the permission that it does not get.
  contains "$(async_script "$fetch" "$URL/healthz" GET '{"X-Other": "1"}' '')" 'failed: TypeError'
}

@test "a page of another origin can read why its message is too large" {
  local other
  start_server
  other=$URL
  start_server --cors "$other"
  browser
  open_page "$other/healthz"
  contains "$(async_script '
    const answer = await fetch(arguments[0] + "/messages", { method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ message: "x".repeat(100000) }) });
    return answer.status + " " + (await answer.json()).detail;' "$URL")" '413 The body is larger than'
}

# ---- A page of --www ----

# Prints a number as four bytes, the lowest first.
four_bytes() {
  local i
  for i in 0 8 16 24; do printf '%b' "\\x$(printf %02x "$(($1 >> i & 255))")"; done
}

# Prints a WAV file: SECONDS of the same sample, in stereo, with 44,100 samples of 16 bits per
# second. SAMPLE is a byte, in the notation of tr.
wav() { # SECONDS SAMPLE
  local bytes=$(($1 * 44100 * 4))
  printf RIFF
  four_bytes $((bytes + 36))
  printf 'WAVEfmt \x10\0\0\0\1\0\2\0'
  four_bytes 44100
  four_bytes $((44100 * 4))
  printf '\4\0\x10\0data'
  four_bytes "$bytes"
  head -c "$bytes" /dev/zero | tr '\0' "$2"
}

# The browser has only a part of the sound when it is told to go to another place.
@test "a sound can be played from any place, even after its file was replaced" {
  cd "$BATS_TEST_TMPDIR"
  mkdir site
  echo '<!doctype html><audio preload="metadata" src="sound.wav"></audio>' >site/index.html
  wav 120 '\1' >site/sound.wav
  start_server --www site
  browser
  open_page "$URL/"
  local go='const sound = document.querySelector("audio");
    if (sound.readyState < 1) await new Promise((r) => sound.addEventListener("loadedmetadata", r));
    const there = new Promise((r) => sound.addEventListener("seeked", r));
    sound.currentTime = Number(arguments[0]);
    await there;
    return [sound.duration, sound.seekable.end(0), sound.currentTime, sound.error];'
  same "$(async_script "$go" 110)" '[120,120,110,null]'
  wav 120 '\2' >site/new
  mv site/new site/sound.wav
  same "$(async_script "$go" 60)" '[120,120,60,null]'
}
