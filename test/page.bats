#!/usr/bin/env bats
# The chat page, and EventSource without it, in a real browser against the real server.
#
# The tests wait for conditions in the page, never for a fixed time. lib/webdriver.bash has the
# functions that drive the browser: open_page, click, type_text, script, wait_until.
#
# seconds: 260

load lib/helper
load lib/webdriver

setup() {
  webdriver_start
}

teardown() {
  webdriver_stop
  stop_all
}

# ---- What a user does and sees ----

CONNECTED='document.querySelector("#status").dataset.state === "connected"'

# Opens the chat as a new user and enters a name: join_chat NAME [PATH].
join_chat() {
  local name=$1 path=${2:-/}
  open_page "$URL$path"
  wait_until "$CONNECTED && document.querySelector('#naming').open"
  type_text '#name' "$name$ENTER"
  wait_until "$CONNECTED && document.querySelector('#people .me')"
}

say() {
  type_text '#text' "$1$ENTER"
}

# Prints the texts of the conversation as a JSON list, in order.
conversation() {
  script 'return [...document.querySelectorAll("#log .bubble")].map((b) => b.textContent)'
}

wait_for_message() {
  wait_until '[...document.querySelectorAll("#log .bubble")]
    .some((b) => b.textContent === arguments[0])' "$1"
}

wait_for_notice() {
  wait_until 'document.querySelector("#notice").innerText.includes(arguments[0])' "$1"
}

# Waits until presence lists these names. Presence takes a second or two; it must not wait for the
# heartbeat, which comes after 15 seconds.
wait_for_people() {
  WEBDRIVER_WAIT_SECONDS=10 wait_until '[...document.querySelectorAll("#people li")]
    .map((li) => li.textContent).join() === arguments[0]' "$1"
}

outbox_is_empty() {
  wait_until '!document.querySelector("#outbox").firstElementChild'
}

# ---- Talking ----

@test "a message typed in one of two tabs appears once in each" {
  start_server
  browser
  join_chat ann
  local first
  first=$(this_tab)
  open_tab
  open_page "$URL/"
  wait_until "$CONNECTED"
  go_to_tab "$first"
  say 'hello from the first tab'
  outbox_is_empty
  same "$(conversation)" '["hello from the first tab"]'
  open_tab
  open_page "$URL/"
  wait_for_message 'hello from the first tab'
  say 'and back'
  outbox_is_empty
  same "$(conversation)" '["hello from the first tab","and back"]'
  go_to_tab "$first"
  wait_for_message 'and back'
  same "$(conversation)" '["hello from the first tab","and back"]'
}

@test "a page marks its own messages, and presence shows both users' names" {
  start_server
  browser
  join_chat ann
  local ann=$BROWSER
  browser
  join_chat ben
  say 'hello ann'
  outbox_is_empty
  wait_until 'document.querySelector("#log .own")'
  BROWSER=$ann
  wait_for_message 'hello ann'
  same "$(script 'return document.querySelectorAll("#log .own").length')" 0
  same "$(script 'return document.querySelector("#log .name").textContent')" ben
  wait_for_people ann,ben
  wait_until 'document.querySelector("#online").textContent === "2 online"'
  open_page about:blank
  BROWSER=${WEBDRIVER_BROWSERS[1]}
  wait_for_people ben
}

@test "a page asks for the name once and lets the user change it" {
  start_server
  browser
  join_chat ann
  reload_page
  wait_until "$CONNECTED && document.querySelector('#people .me')"
  same "$(script 'return document.querySelector("#naming").open')" false
  click '#rename'
  type_text '#name' "anna$ENTER"
  wait_for_people anna
  say 'it is still me'
  outbox_is_empty
  same "$(curl -sf "$URL/messages" | jq -r '.messages[0].name')" anna
}

@test "a user without a name can read, and is asked for a name when writing" {
  start_server
  accepts '{"message": "to everybody"}'
  browser
  open_page "$URL/"
  wait_for_message 'to everybody'
  click '#just-read'
  say 'me too'
  wait_until 'document.querySelector("#naming").open'
  same "$(script 'return document.querySelector("#text").value')" 'me too'
}

@test "markup in a message, a name or an event is shown as text" {
  start_server
  browser
  join_chat '<i>ann</i>'
  local markup='<img src=x onerror="window.broken=1"><script>window.broken=1</script>&amp;'
  say "$markup"
  wait_for_message "$markup"
  accepts "$(jq -n --arg data "$markup" '{data: $data}')"
  wait_until 'document.querySelectorAll("#log .bubble").length === 2'
  same "$(conversation)" "$(jq -nc --arg m "$markup" '[$m, $m]')"
  same "$(script 'return document.querySelectorAll("#log img, #log script, #log i").length')" 0
  same "$(script 'return String(window.broken)')" undefined
  wait_for_people '<i>ann</i>'
}

# Prints, for each message, whether name and time read from left to right, where the name begins,
# whether the time is right of the text, and whether the text's first line reads from left to right.
directions() {
  script 'const edges = (element) => {
      const range = document.createRange();
      const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
      const at = (i) => {
        range.setStart(text, i);
        range.setEnd(text, i + 1);
        return range.getBoundingClientRect().left;
      };
      const letters = [...text.data].flatMap((c, i) => /[a-z0-9]/.test(c) ? [at(i)] : []);
      return letters[0] < letters.at(1);
    };
    return [...document.querySelectorAll("#log .message")].map((row) => {
      const [name, text, time] = [".name", ".bubble", "time"].map((part) => row.querySelector(part));
      return [edges(name), edges(time), Math.round(name.getBoundingClientRect().left),
        time.getBoundingClientRect().left > text.getBoundingClientRect().right - 1, edges(text)];
    })'
}

@test "bidirectional controls in a message change nothing around it" {
  start_server
  browser
  join_chat zoe
  accepts '{"name":"ann","message":"before"}'
  accepts '{"name":"eve","message":"\u202eabc \u2067 def"}'
  accepts '{"name":"ann","message":"\u2067\u2067\u202babc \u202d def"}'
  accepts '{"name":"eve","message":"two\u2028lines"}'
  accepts '{"name":"ann","message":"after"}'
  wait_for_message after
  run directions
  local left
  left=$(jq '.[0][2]' <<<"$output")
  same "$(jq -c '.[]' <<<"$output")" "[true,true,$left,true,true]
[true,true,$left,true,false]
[true,true,$left,true,true]
[true,true,$left,true,true]
[true,true,$left,true,true]"
  local texts='#log .name, #log time, #people .clip, #rooms .clip, #title, #my-name'
  same "$(script 'return [...document.querySelectorAll(arguments[0])].filter((element) =>
      getComputedStyle(element).unicodeBidi !== "isolate").length' "$texts")" 0
  contains "$(conversation)" '"two\nlines"'
}

@test "a message is sent with its bidirectional controls, a name without invisible characters" {
  start_server
  browser
  join_chat $'z\u200bo\u202ee\u3164' $'/?room=de\u200bn'
  wait_for_people zoe
  say $'\u2068hello\u2069\u202a \u0085\u2028'
  outbox_is_empty
  same "$(curl -sf "$URL/messages?room=den" | jq -c '.messages[] | [.name, .message]')" \
    $'["zoe","\u2068hello\u2069\u202a \\n"]'
}

@test "http and https addresses become links, and nothing else does" {
  start_server
  browser
  join_chat ann
  say 'See https://example.org/a?b=c (or http://example.com). Not javascript:alert(1) or ftp://x.'
  wait_until 'document.querySelectorAll("#log a").length'
  local links='[...document.querySelectorAll("#log a")]'
  same "$(script "return $links.map((a) => a.href)")" \
    '["https://example.org/a?b=c","http://example.com/"]'
  same "$(script "return $links.map((a) => a.textContent)")" \
    '["https://example.org/a?b=c","http://example.com"]'
  same "$(script "return $links.map((a) => a.rel)")" \
    '["noopener noreferrer","noopener noreferrer"]'
}

@test "default events that are not chat messages do not break the page" {
  start_server
  browser
  join_chat ann
  accepts '{"data": "just text"}'
  accepts '{"data": {"message": 7}}'
  accepts '{"data": {"message": "x", "name": {"a": 1}, "time": []}}'
  accepts '{"data": null, "message": "before null"}'
  accepts '{"data": [1]}'
  accepts '{"event": "news", "data": "not for the page"}'
  accepts '{"message": "still here"}'
  wait_for_message 'still here'
  same "$(conversation | jq -c 'del(.[2])')" \
    '["just text","{\"message\":7}","before null","[1]","still here"]'
}

@test "Enter sends a message, but Shift+Enter and Enter in an input method do not" {
  start_server
  browser
  join_chat ann
  local shift=$'\ue008'
  type_text '#text' "one$shift$ENTER${shift}two"
  same "$(script 'return document.querySelector("#text").value')" $'one\ntwo'
  script 'document.querySelector("#text").dispatchEvent(
    new KeyboardEvent("keydown", { key: "Enter", isComposing: true, cancelable: true }))'
  same "$(script 'return document.querySelector("#text").value')" $'one\ntwo'
  type_text '#text' "$ENTER"
  wait_for_message $'one\ntwo'
  same "$(script 'return document.querySelector("#text").value')" ''
  type_text '#text' 'by button'
  click '#send'
  wait_for_message 'by button'
}

@test "a page shows a text's length near the limit and does not send a text that is too long" {
  start_server
  browser
  join_chat ann
  local fill='const text = document.querySelector("#text");
    text.value = "😀".repeat(arguments[0]); text.dispatchEvent(new Event("input"));'
  script "$fill" 4097
  same "$(script 'return document.querySelector("#count").textContent')" '4097 of 4096 characters'
  same "$(script 'return document.querySelector("#send").disabled')" true
  type_text '#text' "$ENTER"
  same "$(script 'return document.querySelector("#outbox").childElementCount')" 0
  script "$fill" 4096
  click '#send'
  wait_until 'document.querySelector("#log .bubble")?.textContent === "😀".repeat(4096)'
}

@test "a user can switch to a room by clicking it in the list, or by typing its name" {
  start_server
  accepts '{"room": "tea & cake", "message": "elsewhere"}'
  browser
  join_chat ann
  say 'in the lobby'
  outbox_is_empty
  wait_until 'document.querySelectorAll("#rooms a").length === 2'
  script '[...document.querySelectorAll("#rooms a")].at(-1).click()'
  wait_until "document.title === 'tea & cake · ssechat' && $CONNECTED"
  wait_for_message elsewhere
  same "$(conversation)" '["elsewhere"]'
  type_text '#room' "a+b$ENTER"
  wait_until "document.title === 'a+b · ssechat' && $CONNECTED"
}

# ---- History ----

@test "after a reload, the history shows each message once" {
  start_server
  browser
  join_chat ann
  say one
  say two
  outbox_is_empty
  reload_page
  wait_until "$CONNECTED"
  same "$(conversation)" '["one","two"]'
  same "$(script 'return document.querySelectorAll("#log .own").length')" 2
  same "$(script 'return document.querySelector("#earlier").hidden')" true
}

@test "earlier messages are loaded above the others, in order" {
  start_server
  local i
  for i in $(seq 120); do accepts "{\"name\": \"ben\", \"message\": \"$i\"}"; done
  browser
  join_chat ann
  wait_until 'document.querySelectorAll("#log .bubble").length === 50'
  wait_until '!document.querySelector("#earlier").hidden'
  click '#earlier'
  wait_until 'document.querySelectorAll("#log .bubble").length === 100'
  click '#earlier'
  wait_until 'document.querySelectorAll("#log .bubble").length === 120'
  wait_until 'document.querySelector("#earlier").hidden'
  same "$(conversation)" "$(seq 120 | jq -Rnc '[inputs]')"
}

@test "a page that is scrolled up stays there and announces new messages" {
  start_server
  local i
  for i in $(seq 50); do accepts "{\"name\": \"ben\", \"message\": \"$i\"}"; done
  browser
  join_chat ann
  wait_until 'document.querySelector("#scroller").scrollTop > 500'
  script 'document.querySelector("#scroller").scrollTop = 100'
  wait_until 'document.querySelector("#scroller").scrollTop === 100'
  # The page learns the position from the scroll event, which comes a frame later.
  async_script 'const frame = () => new Promise(requestAnimationFrame);
    await frame();
    await frame();'
  accepts '{"name": "ben", "message": "51"}'
  wait_until 'document.querySelector("#newer").innerText === "1 new message"'
  same "$(script 'return document.querySelector("#scroller").scrollTop')" 100
  click '#newer'
  wait_until 'document.querySelector("#newer").hidden'
  accepts '{"name": "ben", "message": "52"}'
  wait_for_message 52
  wait_until 'document.querySelector("#log").lastElementChild.getBoundingClientRect().bottom <=
    document.querySelector("#scroller").getBoundingClientRect().bottom'
}

@test "a page keeps about the last thousand messages and can load the earlier ones again" {
  start_server
  browser
  join_chat ann
  local first
  for first in 1 301 601 901; do # in parts, because a script is limited to 30 seconds
    async_script 'for (let i = Number(arguments[0]); i < Number(arguments[0]) + 300; i += 1) {
      await fetch("/messages", { method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name: "ben", message: String(i) }) });
    }' "$first"
  done
  wait_for_message 1200
  wait_until 'document.querySelector("#log").childElementCount <= 1050'
  same "$(conversation | jq -c '[(map(tonumber) | . == sort), last]')" '[true,"1200"]'
  same "$(script 'return document.querySelector("#earlier").hidden')" false
}

@test "the title counts messages that arrive while the page is hidden" {
  start_server
  browser
  join_chat ann
  webdriver POST /window/minimize '{}'
  wait_until 'document.hidden'
  accepts '{"name": "ben", "message": "psst"}'
  wait_until 'document.title === "(1) lobby · ssechat"'
  webdriver POST /window/maximize '{}'
  wait_until 'document.title === "lobby · ssechat"'
}

# ---- When things fail ----

@test "a page reports a lost connection, reconnects by itself, and shows the gap" {
  start_server --retry 200
  browser
  join_chat ann
  say 'before the restart'
  outbox_is_empty
  stop_server
  wait_for_notice 'The connection was lost. Reconnecting'
  same "$(script 'return document.querySelector("#status").innerText')" Reconnecting
  start_server --retry 200 --listen "127.0.0.1:$PORT"
  wait_until "$CONNECTED && document.querySelector('#notice').hidden"
  wait_until 'document.querySelector("#log .note")?.innerText ===
    "Some messages are lost: the server was restarted."'
  accepts '{"message": "after the restart"}'
  wait_for_message 'after the restart'
  same "$(conversation)" '["before the restart","after the restart"]'
}

@test "a message written while the server is down waits, and is delivered once" {
  start_server --retry 200
  browser
  join_chat ann
  stop_server
  wait_for_notice 'The connection was lost'
  say 'is anybody there?'
  wait_until 'document.querySelector("#outbox .pending[data-state=waiting]")'
  wait_until 'document.querySelector("#outbox").innerText.includes("Not sent yet")'
  say 'second'
  same "$(conversation)" '[]'
  start_server --retry 200 --listen "127.0.0.1:$PORT"
  outbox_is_empty
  wait_for_message second
  same "$(conversation)" '["is anybody there?","second"]'
  same "$(curl -sf "$URL/messages" | jq -c '[.messages[].message]')" \
    '["is anybody there?","second"]'
}

@test "a waiting message survives a reload and is delivered once" {
  start_server
  browser
  join_chat ann
  devtools Network.enable '{}'
  devtools Network.setBlockedURLs '{"urls": ["*/messages"]}'
  say 'held up'
  wait_until 'document.querySelector("#outbox").innerText.includes("Not sent yet")'
  devtools Network.setBlockedURLs '{"urls": []}'
  reload_page
  wait_for_message 'held up'
  outbox_is_empty
  same "$(conversation)" '["held up"]'
  same "$(curl -sf "$URL/messages" | jq '.messages | length')" 1
}

# A message can arrive on the stream before the answer to its POST, and the answer can be lost. Here
# every answer is lost, so the page must take the message on the stream as a receipt.
@test "a message whose answer is lost is confirmed by the stream" {
  start_server
  browser
  join_chat ann
  script 'const real = window.fetch; window.posts = 0;
    window.fetch = async (...asked) => {
      const answer = await real(...asked);
      if (asked[1]?.method === "POST") { window.posts += 1; throw new TypeError("lost"); }
      return answer;
    }'
  say 'answer lost'
  wait_for_message 'answer lost'
  outbox_is_empty
  same "$(conversation)" '["answer lost"]'
  wait_until 'document.querySelector("#log .own")'
  same "$(curl -sf "$URL/messages" | jq '.messages | length')" 1
}

@test "a refused message shows the reason, and its text can be taken back" {
  start_server --max-body 2K
  browser
  join_chat ann
  local long
  long=$(printf 'far too long %.0s' {1..300})
  script 'const text = document.querySelector("#text");
    text.value = arguments[0]; text.dispatchEvent(new Event("input"));' "$long"
  click '#send'
  wait_until 'document.querySelector("#outbox [role=alert]")?.innerText.length > 20'
  say 'short enough'
  wait_for_message 'short enough'
  click '#outbox .delivery button'
  same "$(script 'return document.querySelector("#text").value')" "$long"
  outbox_is_empty
}

@test "a page says that the server is busy, and connects when a place is free" {
  start_server --max-streams 1
  listen "$BATS_TEST_TMPDIR/stream" ''
  browser
  open_page "$URL/"
  wait_for_notice 'The server is full at the moment'
  same "$(script 'return document.querySelector("#retry").hidden')" true
  kill "$CLIENT_PID"
  WEBDRIVER_WAIT_SECONDS=60 wait_until "$CONNECTED"
}

@test "a page whose stream is refused says so and keeps trying" {
  start_server
  browser
  open_page "$URL/?room=$(printf 'x%.0s' {1..65})"
  wait_for_notice 'Trying again in'
  same "$(script 'return document.querySelector("#status").innerText')" 'Not connected'
  same "$(script 'return document.querySelector("#retry").hidden')" false
}

# The server is suspended, not ended, so its connections stay open but silent, as after a laptop
# has slept.
@test "a silent connection is replaced with a connection that resumes from the last id" {
  start_server --heartbeat 1
  browser
  join_chat ann
  say before
  outbox_is_empty
  kill -STOP "$SERVER_PID"
  wait_for_notice 'The connection went silent'
  kill -CONT "$SERVER_PID"
  wait_until "$CONNECTED"
  say after
  outbox_is_empty
  same "$(conversation)" '["before","after"]'
  same "$(script 'return document.querySelectorAll("#log .note").length')" 0
}

@test "when a user leaves the page and comes back, its stream resumes" {
  start_server
  browser
  join_chat ann
  say one
  outbox_is_empty
  open_page "$URL/icon.svg"
  accepts '{"name": "ben", "message": "two"}'
  webdriver POST /back '{}'
  wait_for_message two
  same "$(conversation)" '["one","two"]'
}

# ---- The look ----

@test "a page on a phone does not scroll sideways and has its text box in view" {
  start_server
  browser
  devtools Emulation.setDeviceMetricsOverride \
    '{"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}'
  join_chat ann
  say "$(printf 'Wide%.0s' {1..60}) https://example.org/$(printf 'path/%.0s' {1..40})"
  outbox_is_empty
  same "$(script 'return [innerWidth, document.documentElement.scrollWidth,
    document.querySelector("#scroller").scrollWidth]')" '[390,390,390]'
  same "$(script 'const box = document.querySelector("#composer").getBoundingClientRect();
    return box.top > 0 && box.bottom <= innerHeight && innerHeight <= 844')" true
  same "$(script 'return [...document.querySelectorAll("button, input, #rooms a")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44).length')" 0
  same "$(script 'return [...document.querySelectorAll("input, textarea")]
    .filter((e) => parseFloat(getComputedStyle(e).fontSize) < 16).length')" 0
  same "$(script 'return document.querySelector("#rooms").checkVisibility()')" false
  click 'header .menu'
  wait_until 'document.querySelector("#rooms").checkVisibility()'
  click '#side .menu'
  wait_until '!document.querySelector("#rooms").checkVisibility()'
}

@test "the dark scheme is dark, the light one is light, and both have enough contrast" {
  start_server
  browser
  join_chat ann
  say hello
  outbox_is_empty
  # The contrast ratio between text and page as WCAG defines it; WCAG requires at least 4.5.
  local contrast='const light = (colour) => colour.match(/[\d.]+/g).slice(0, 3)
      .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const page = light(getComputedStyle(document.body).backgroundColor);
    const ratios = ["body", "#online", "time", "#rename", ".keys"]
      .map((css) => light(getComputedStyle(document.querySelector(css)).color))
      .map((text) => (Math.max(text, page) + 0.05) / (Math.min(text, page) + 0.05));
    const least = Math.min(...ratios);
    return (page < 0.1 ? "dark" : page > 0.8 ? "light" : "grey")
      + (least >= 4.5 ? "" : " " + least);'
  local scheme
  for scheme in light dark; do
    devtools Emulation.setEmulatedMedia \
      "{\"features\": [{\"name\": \"prefers-color-scheme\", \"value\": \"$scheme\"}]}"
    same "$(script "$contrast")" "$scheme"
  done
}

# ---- Safety ----

@test "normal use does not violate the content security policy, and no text becomes code" {
  start_server
  browser
  join_chat ann
  say 'hello https://example.org'
  outbox_is_empty
  click '#rename'
  type_text '#name' "anna$ENTER"
  reload_page
  wait_for_message 'hello https://example.org'
  same "$(browser_log)" ''
  # Each of these throws, or puts something into the page that has no effect.
  same "$(script 'const done = [];
    const element = (name) => document.body.appendChild(document.createElement(name));
    for (const attempt of [
      () => { element("div").innerHTML = "<b>x</b>"; },
      () => { element("script").textContent = "window.ran = 1"; },
      () => { element("script").src = "x.js"; },
      () => { element("iframe").srcdoc = "x"; },
      () => window.setTimeout("window.ran = 2", 0),
      () => new SharedWorker("worker.js"),
      () => window.trustedTypes.createPolicy("other", { createHTML: (text) => text }),
    ]) {
      try { attempt(); done.push(String(attempt)); } catch { /* as it should be */ }
    }
    return done.join("\n");')" ''
  script 'const inline = document.createElement("script");
    inline.append("window.ran = 3");
    document.body.append(inline);
    const button = document.createElement("button");
    try { button.setAttribute("onclick", "window.ran = 4"); } catch { /* newer browsers */ }
    button.setAttribute("style", "color: rgb(255, 0, 0)");
    document.body.append(button);
    button.click();'
  same "$(script 'return String(window.ran)')" undefined
  same "$(script 'return getComputedStyle(document.body.lastChild).color === "rgb(255, 0, 0)"')" false
  run browser_log
  [[ $output == *"Content Security Policy"* ]]
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

# ---- Tokens ----

# Starts a server with a key; `sign` makes tokens for it.
start_guarded() {
  (umask 077 && openssl rand -hex 32 >"$BATS_TEST_TMPDIR/key")
  start_server --key "$BATS_TEST_TMPDIR/key" --log-level debug
}

sign() {
  "$SSECHAT" token --key "$BATS_TEST_TMPDIR/key" "$@"
}

# Enters a token into the dialog that asks for one.
show_token() {
  wait_until 'document.querySelector("#asking").open'
  type_text '#token' "$1$ENTER"
}

@test "a token in the URL fragment signs a user in and appears nowhere else" {
  start_guarded
  browser
  local token
  token=$(sign --sub ann --rooms garden,lobby --publish)
  open_page "$URL/#token=$token"
  wait_until "$CONNECTED"
  wait_for_people ann
  same "$(script 'return document.querySelector("#naming").open')" false
  same "$(script 'return document.querySelector("#title").textContent')" garden
  same "$(script 'return location.href')" "$URL/"
  same "$(script 'return document.cookie + localStorage.length')" 0
  say 'signed'
  wait_for_message 'signed'
  outbox_is_empty
  ask "/messages?room=garden&access_token=$token"
  same "$(jq -r '.messages[0].name' <<<"$BODY")" ann

  reload_page
  wait_until "$CONNECTED"
  wait_for_message 'signed'
  wait_for_people ann

  lacks "$(webdriver POST /se/log '{"type": "browser"}')" "${token#*.}"
  lacks "$(<"$SERVER_LOG")" "${token##*.}"
}

@test "a user without a token is asked for one" {
  start_guarded
  browser
  open_page "$URL/"
  wait_until 'document.querySelector("#asking").open'
  contains "$(script 'return document.querySelector("#asking-why").textContent')" 'needs a token'
  show_token 'not a token'
  contains "$(script 'return document.querySelector("#token-error").textContent')" 'three long words'
  same "$(script 'return document.querySelector("#asking").open')" true
  show_token "$(sign --sub bob --rooms lobby --publish)"
  wait_until "$CONNECTED"
  wait_for_people bob
  say 'let in'
  wait_for_message 'let in'
}

@test "a link with a malformed token makes the page ask for another" {
  start_guarded
  browser
  # {"rooms":[1],"sub":{},"exp":"x"}
  open_page "$URL/#token=e30.eyJyb29tcyI6WzFdLCJzdWIiOnt9LCJleHAiOiJ4In0.e30"
  wait_until 'document.querySelector("#asking").open'
  show_token "$(sign --sub bob --rooms lobby --publish)"
  wait_until "$CONNECTED"
  wait_for_people bob
}

@test "a token for other rooms makes the page ask for a token for this room" {
  start_guarded
  browser
  open_page "$URL/?room=garden#token=$(sign --sub ann --rooms lobby)"
  wait_until 'document.querySelector("#asking").open'
  contains "$(script 'return document.querySelector("#asking-why").textContent')" 'does not allow this room'
  show_token "$(sign --sub ann --rooms garden)"
  wait_until "$CONNECTED"
}

@test "a page whose token expires asks for another and resumes where it was" {
  start_guarded
  browser
  open_page "$URL/#token=$(sign --sub ann --rooms lobby --publish --ttl 15s)"
  wait_until "$CONNECTED"
  say 'before'
  wait_for_message 'before'
  wait_until 'document.querySelector("#asking").open'
  contains "$(script 'return document.querySelector("#asking-why").textContent')" 'has expired'
  accepts '{"message":"meanwhile"}' -H "Authorization: Bearer $(sign --sub bob --rooms lobby --publish)"
  show_token "$(sign --sub ann --rooms lobby --publish)"
  wait_until "$CONNECTED"
  wait_for_message 'meanwhile'
  say 'after'
  wait_for_message 'after'
  outbox_is_empty
  same "$(conversation)" '["before","meanwhile","after"]'
}

@test "a message that waits for a token is sent when the user enters a token" {
  start_guarded
  browser
  open_page "$URL/#token=$(sign --sub ann --rooms lobby --publish --ttl 15s)"
  wait_until "$CONNECTED"
  wait_until 'document.querySelector("#asking").open'
  # The page asks again at each attempt to connect, which may come before the text is typed.
  eventually 'script "document.querySelector(\"#asking\").close()" && say patience'
  show_token "$(sign --sub ann --rooms lobby --publish)"
  wait_for_message 'patience'
  outbox_is_empty
}

@test "a user whose token allows only reading is told so when writing" {
  start_guarded
  browser
  open_page "$URL/#token=$(sign --sub ann --rooms lobby)"
  wait_until "$CONNECTED"
  say 'may I?'
  wait_until 'document.querySelector("#outbox [role=alert]")?.textContent.includes("allows reading only")'
}

# ---- Links with another token ----

# Opens a path with a token after the '#'. A new number in the query makes the browser load the
# page, instead of only reporting that the hash has changed.
follow_link() { # TOKEN [PATH]
  open_page "$URL${2:-/?link=$((LINKS += 1))}#token=$1"
}

wait_for_question() {
  wait_until 'document.querySelector("#switching").open'
}

# Prints the label of the element that the keyboard acts on.
focused() {
  script 'return document.activeElement.textContent'
}

# Makes pages record each request of a script: its URL, fields and body.
record_requests() {
  devtools Page.addScriptToEvaluateOnNewDocument "$(jq -n '{source: "
    window.requests = [];
    const realFetch = window.fetch, RealSource = window.EventSource;
    window.fetch = (...asked) => { requests.push(JSON.stringify(asked)); return realFetch(...asked); };
    window.EventSource = class extends RealSource {
      constructor(url) { requests.push(url); super(url); }
    };"}')" >/dev/null
}

@test "a link with another token asks first, and the page goes on with its own until then" {
  start_guarded
  browser
  record_requests
  local ann bob path
  ann=$(sign --sub ann --rooms lobby --publish)
  bob=$(sign --sub bob --rooms lobby --publish)
  follow_link "$ann"
  wait_for_people ann
  # The first link loads the page, the second one only changes the hash.
  for path in '/?again' '/?again'; do
    follow_link "$bob" "$path"
    wait_for_question
    wait_until "$CONNECTED"
    wait_for_people ann
    same "$(script 'return location.href')" "$URL$path"
    same "$(script 'return document.querySelector("#switching").innerText')" \
      $'This link carries another sign-in\n\nYou are signed in as ann. The link would sign you in as bob.\n\nSwitch\nKeep'
    same "$(script 'return sessionStorage.token')" "$ann"
    contains "$(script 'return requests')" "$ann"
    lacks "$(script 'return requests')" "$bob"
    same "$(focused)" Keep
    type_text '#switching [value=keep]' "$ENTER"
    wait_until '!document.querySelector("#switching").open'
    say "still ann at $path"
    outbox_is_empty
    lacks "$(script 'return requests')" "$bob"
  done
  ask "/messages?access_token=$ann"
  same "$(jq -c '[.messages[].name]' <<<"$BODY")" '["ann","ann"]'
  reload_page
  wait_for_people ann
}

@test "after \"Switch\", the token of the link is used" {
  start_guarded
  browser
  follow_link "$(sign --sub ann --rooms lobby --publish)"
  wait_for_people ann
  follow_link "$(sign --sub bob --rooms garden --publish)" '/?link=1'
  wait_for_question
  click '#switching [value=switch]'
  wait_until "$CONNECTED && document.title === 'garden · ssechat'"
  wait_for_people bob
  # From bob to a token without a name, which lets the user choose one.
  open_page "$URL/?link=1#token=$(sign --rooms garden --publish)"
  wait_for_question
  contains "$(script 'return document.querySelector("#switching-why").textContent')" \
    'You are signed in as bob. The link would sign you in without a name.'
  click '#switching [value=switch]'
  wait_until 'document.querySelector("#naming").open'
  same "$(script 'return document.querySelector("#my-name").textContent')" 'only reading'
}

@test "the question can be answered with the keyboard, and names itself to screen readers" {
  start_guarded
  browser
  local escape=$'\ue00c' tab=$'\ue004' shift=$'\ue008'
  follow_link "$(sign --sub ann --rooms lobby --publish)"
  wait_for_people ann
  follow_link "$(sign --sub bob --rooms lobby --publish)"
  wait_for_question
  same "$(script 'const box = document.querySelector("#switching");
    return [box.role || box.getAttribute("role"), box.matches(":modal"),
      ...["aria-labelledby", "aria-describedby"].map((name) =>
        document.getElementById(box.getAttribute(name)).textContent.length > 20)]')" \
    '["alertdialog",true,true,true]'
  type_text '#switching [value=keep]' "$escape"
  wait_until '!document.querySelector("#switching").open'
  wait_for_people ann
  follow_link "$(sign --sub bob --rooms lobby --publish)"
  wait_for_question
  type_text '#switching [value=keep]' "$shift$tab"
  same "$(focused)" Switch
  type_text '#switching [value=switch]' "$ENTER"
  wait_for_people bob
}

@test "a link with the token in use, or without one, asks nothing and changes nothing" {
  start_guarded
  browser
  record_requests
  local ann path
  ann=$(sign --sub ann --rooms lobby --publish)
  follow_link "$ann"
  wait_for_people ann
  for path in '/?again' '/?again'; do
    open_page "$URL$path#token=$ann"
    wait_for_people ann
    same "$(script 'return [document.querySelector("#switching").open, location.href]')" \
      "[false,\"$URL$path\"]"
    open_page "$URL$path#token="
    wait_until 'location.hash === ""'
    same "$(script 'return [document.querySelector("#switching").open, sessionStorage.token]')" \
      "[false,\"$ann\"]"
  done
  # Four links, of which one loaded the page: one stream.
  same "$(script 'return requests.filter((url) => url.startsWith("events")).length')" 1
}

@test "a second link does not change the question about the first one" {
  start_guarded
  browser
  follow_link "$(sign --sub ann --rooms lobby --publish)"
  wait_for_people ann
  follow_link "$(sign --sub bob --rooms lobby --publish)" '/?one'
  wait_for_question
  follow_link "$(sign --sub eve --rooms lobby --publish)" '/?one'
  wait_until 'location.hash === ""'
  contains "$(script 'return document.querySelector("#switching-why").textContent')" 'in as bob.'
  click '#switching [value=switch]'
  wait_for_people bob
}

@test "a link with a malformed token does not take the token in use away" {
  start_guarded
  browser
  follow_link "$(sign --sub ann --rooms lobby --publish)"
  wait_for_people ann
  # {"rooms":[1],"sub":{},"exp":"x"}
  follow_link e30.eyJyb29tcyI6WzFdLCJzdWIiOnt9LCJleHAiOiJ4In0.e30
  wait_for_question
  click '#switching [value=keep]'
  wait_until "$CONNECTED"
  wait_for_people ann
}

@test "a link replaces an expired token without a question" {
  start_guarded
  browser
  follow_link "$(sign --sub ann --rooms lobby --publish --ttl 1s)"
  wait_until 'document.querySelector("#asking").open'
  follow_link "$(sign --sub ann --rooms lobby --publish)" '/?link=1'
  wait_until "$CONNECTED"
  wait_for_people ann
  same "$(script 'return document.querySelector("#switching").open')" false
}

@test "another tab takes the token of its link, and the first tab keeps its own" {
  start_guarded
  browser
  local first ann bob
  ann=$(sign --sub ann --rooms lobby --publish)
  bob=$(sign --sub bob --rooms lobby --publish)
  follow_link "$ann"
  wait_for_people ann
  first=$(this_tab)
  open_tab
  follow_link "$bob"
  wait_for_people ann,bob
  same "$(script 'return document.querySelector("#switching").open')" false
  go_to_tab "$first"
  reload_page
  wait_for_people ann,bob
  same "$(script 'return [document.querySelector("#switching").open, sessionStorage.token]')" \
    "[false,\"$ann\"]"
  # A tab that this tab opens begins with a copy of its session.
  script 'window.open("/?copy#token=" + arguments[0])' "$bob"
  # shellcheck disable=SC2016 # eventually evaluates it
  eventually '[ "$(webdriver GET /window/handles | jq length)" = 3 ]'
  go_to_tab "$(webdriver GET /window/handles | jq -r 'last')"
  wait_for_question
  same "$(script 'return sessionStorage.token')" "$ann"
}

@test "a message that waits is not sent under another user's token" {
  start_guarded
  browser
  local ann
  ann=$(sign --sub ann --rooms lobby --publish)
  follow_link "$ann"
  wait_for_people ann
  devtools Network.enable '{}'
  devtools Network.setBlockedURLs '{"urls": ["*/messages"]}'
  say 'not for bob'
  wait_until 'document.querySelector("#outbox").innerText.includes("Not sent yet")'
  follow_link "$(sign --sub bob --rooms lobby --publish)"
  wait_for_question
  click '#switching [value=switch]'
  wait_for_people bob
  wait_until 'document.querySelector("#outbox [role=alert]")?.textContent.includes("another user")'
  devtools Network.setBlockedURLs '{"urls": []}'
  say 'from bob'
  wait_for_message 'from bob'
  ask "/messages?access_token=$ann"
  same "$(jq -c '[.messages[].message]' <<<"$BODY")" '["from bob"]'
  click '#outbox .delivery button'
  same "$(script 'return document.querySelector("#text").value')" 'not for bob'
}

@test "a site that opened the page in a window has no handle of it" {
  start_server
  local other=$URL
  start_server
  browser
  open_page "${other/127.0.0.1/localhost}/healthz"
  script 'window.page = window.open(arguments[0])' "$URL/"
  wait_until 'page.closed'
}
