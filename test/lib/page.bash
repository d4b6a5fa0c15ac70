# shellcheck shell=bash disable=SC2016 # JavaScript has dollars and backquotes
# What the suites of the chat page share: a user who joins, writes and looks. Load this after
# helper.bash and webdriver.bash. All functions act on the current browser and its current tab, wait
# for conditions in the page, and find elements by their ids in www/index.html.

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  webdriver_start
}

teardown() {
  webdriver_stop
  stop_all
}

# ---- Arriving ----

# shellcheck disable=SC2034 # for the tests
CONNECTED='document.querySelector("#status").dataset.state === "connected"'

# Opens the page and waits until the conversation is loaded: open_chat [PATH].
open_chat() {
  open_page "$URL${1:-/}"
  is_loaded
}

# Opens the page in another tab of this browser: open_chat_tab [PATH].
open_chat_tab() {
  open_tab
  open_chat "$@"
}

# Hides all tabs of the browser, as another window in front of it does, and shows the last one again.
hide() {
  webdriver POST /window/minimize '{}' >/dev/null
  wait_until document.hidden
}

unhide() {
  webdriver POST /window/rect '{"width": 1200, "height": 800}' >/dev/null
  wait_until '!document.hidden'
}

# Waits until the page is connected and shows the history of its room.
is_loaded() {
  wait_until "$CONNECTED && document.querySelector('#log').ariaBusy === 'false'"
}

# Opens the page and enters a name: join_chat NAME [PATH].
join_chat() {
  open_chat "${2:-/}"
  type_text '#name' "$1$ENTER"
  wait_until 'document.querySelector("#me").textContent === arguments[0]' "$1"
}

# Goes to a room, as its link does.
enter_room() {
  script 'location.hash = encodeURIComponent(arguments[0])' "$1" >/dev/null
  in_room "$1"
}

# Waits until the page shows a room and its history.
in_room() {
  wait_until 'document.querySelector("#title").textContent === arguments[0]' "$1"
  is_loaded
}

# ---- Writing ----

say() {
  type_text '#text' "$1$ENTER"
}

# Puts a text into the text box at once, as pasting does. Typing a long one takes seconds.
paste_text() {
  script 'const box = document.querySelector("#text");
    box.focus();
    box.setRangeText(arguments[0], box.selectionStart, box.selectionEnd, "end");
    box.dispatchEvent(new InputEvent("input", { bubbles: true }));' "$1" >/dev/null
}

# Waits until the server has confirmed all messages of this browser in this room.
outbox_is_empty() {
  wait_until '!document.querySelector("#pending").firstElementChild'
}

# Waits until a message on its way says this: wait_for_pending TEXT.
wait_for_pending() {
  wait_until 'document.querySelector("#pending").innerText.includes(arguments[0])' "$1"
}

# ---- Looking ----

# Prints the texts of the messages that the server has, as a JSON list, in order.
conversation() {
  script 'return [...document.querySelectorAll("#rows .text")].map((text) => text.textContent)'
}

# Prints the same, with gaps and events: "message", "gap: reason", "event: name data".
rows() {
  script 'return [...document.querySelectorAll("#rows .entry")].map((entry) => {
      const [text, gap, event] = [".text", ".gap", ".event"].map((part) => entry.querySelector(part));
      return text?.textContent ?? (gap ? `gap: ${gap.innerText}`
        : `event: ${event.querySelector("summary").textContent} ${event.querySelector("pre")?.textContent}`);
    })'
}

# Waits until a message with this text is shown.
wait_for_message() {
  wait_until '[...document.querySelectorAll("#rows .text")]
    .some((text) => text.textContent === arguments[0])' "$1"
}

# Waits until the conversation is exactly this: shows TEXT...
shows() {
  wait_until 'JSON.stringify([...document.querySelectorAll("#rows .text")].map((text) => text.textContent))
    === JSON.stringify([...arguments])' "$@"
}

# Waits until the line about the connection contains a text.
wait_for_notice() {
  wait_until '!document.querySelector("#notice").hidden
    && document.querySelector("#notice").innerText.includes(arguments[0])' "$1"
}

# Waits until these people are here, as presence says: wait_for_people NAME,NAME. Presence takes a
# second or two; it must not wait for the heartbeat, which comes after 15 seconds.
wait_for_people() {
  WEBDRIVER_WAIT_SECONDS=10 wait_until '[...document.querySelectorAll("#people .person")]
    .filter((person) => !person.querySelector(".soft").textContent.includes("away"))
    .map((person) => person.querySelector(".clip").textContent).join() === arguments[0]' "$1"
}

# Runs a script in each page that this tab loads from now on, before the page's own.
before_loading() {
  devtools Page.addScriptToEvaluateOnNewDocument "$(jq -nc --arg source "$1" '{source: $source}')" >/dev/null
}

# ---- Scrolling ----

# Turns the wheel over the conversation by so many pixels, COUNT times; negative is up.
wheel() { # PIXELS [COUNT]
  webdriver POST /actions "$(jq -nc --argjson pixels "$1" --argjson count "${2:-1}" '{actions: [
    {type: "wheel", id: "wheel", actions: [range($count)
      | {type: "scroll", x: 600, y: 250, deltaX: 0, deltaY: $pixels, duration: 0}, {type: "pause", duration: 50}]}]}')" \
    >/dev/null
  settled
}

# Turns the wheel until a condition is true: wheel_until PIXELS CONDITION.
wheel_until() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    [ "$(script "return !!($2)")" != true ] || return 0
    wheel "$1" 4
  done
  printf 'still false after %s turns: %s\n' $((tries * 4)) "$2" >&2
  return 1
}

# Waits until the scrolling has come to rest: for five frames, nothing has moved.
settled() {
  async_script 'const scroller = document.querySelector("#scroller");
    for (let still = 0, top; still < 5; still += 1) {
      await new Promise(requestAnimationFrame);
      if (scroller.scrollTop !== top) still = 0;
      top = scroller.scrollTop;
    }' >/dev/null
}

# Makes the page keep an account of itself:
#
#     seen.parts         the ids of the rows, each time that they change
#     seen.most          the largest number of rows
#     seen.spoken        the rows that were added while the log was not busy; seen.silent: the others
#     seen.read()        from now on, seen.drift is how far the row at the top edge has moved, in pixels
#     seen.leftEnd       how often a frame did not show the end, since seen.stay() was called
watch_page() {
  before_loading '{
    const $ = (css) => document.querySelector(css);
    const idsOf = () => [...document.querySelectorAll("#rows > [data-id]")].map((row) => row.dataset.id);
    const topOf = (row) => (row.querySelector(".text, .event") ?? row).getBoundingClientRect().top
      - $("#scroller").getBoundingClientRect().top;
    const seen = window.seen = { parts: [], most: 0, spoken: [], silent: [], drift: 0, leftEnd: 0 };
    let row, top, stays;
    seen.read = () => {
      const edge = $("#scroller").getBoundingClientRect().top;
      row = [...$("#rows").children].find((other) => other.getBoundingClientRect().bottom > edge);
      top = topOf(row);
      seen.drift = 0;
      return row.querySelector(".text").textContent;
    };
    seen.stay = () => { stays = true; seen.leftEnd = 0; };
    const look = () => {
      if (row) seen.drift = Math.max(seen.drift, row.isConnected ? Math.abs(topOf(row) - top) : Infinity);
      const { scrollHeight, clientHeight, scrollTop } = $("#scroller");
      if (stays && scrollHeight - clientHeight - scrollTop > 2) seen.leftEnd += 1;
    };
    // A frame is painted when the observers of sizes have run, and this one runs after those of the page,
    // which are older. A task after the frame could see what the next one corrects.
    const probe = document.createElement("i");
    probe.style.cssText = "position: fixed; visibility: hidden; height: 1px; width: 1px";
    addEventListener("load", () => {
      document.body.append(probe);
      new ResizeObserver(look).observe(probe);
      eachFrame();
    });
    const eachFrame = () => {
      requestAnimationFrame(eachFrame);
      probe.style.width = probe.style.width === "1px" ? "2px" : "1px";
    };
    const rowsChanged = (records) => {
      seen.parts.push(idsOf());
      seen.most = Math.max(seen.most, $("#rows").childElementCount);
      for (const { addedNodes } of records) {
        for (const added of addedNodes) {
          const text = added.querySelector(".text, .event, .gap")?.textContent;
          seen[$("#log").ariaBusy === "true" ? "silent" : "spoken"].push(text);
        }
      }
    };
    new MutationObserver((records, observer) => {
      if (!$("#rows")) return;
      observer.disconnect();
      new MutationObserver(rowsChanged).observe($("#rows"), { childList: true });
    }).observe(document, { childList: true, subtree: true });
  }'
}

# ---- The server ----

# Starts the server again on its port, with these options.
start_again() {
  start_server --listen "127.0.0.1:$PORT" "$@"
}

# Prints the texts that the server has in a room, as a JSON list: on_server [ROOM].
on_server() {
  curl -sfG "$URL/messages" --data-urlencode "room=${1:-lobby}" -d limit=500 |
    jq -c '[.messages[] | .message // .data]'
}

# Prints how many streams the server has in a room: online [ROOM].
online() {
  curl -sf "$URL/rooms" | jq --arg room "${1:-lobby}" '[.rooms[] | select(.room == $room).online] | add // 0'
}

# Posts a message of another user: post_as NAME TEXT [ROOM]. Sets ID.
post_as() {
  accepts "$(jq -nc --arg name "$1" --arg message "$2" --arg room "${3:-lobby}" '{room: $room, name: $name, message: $message}')"
}

# Publishes numbered messages over one connection, as fast as the server takes them, and checks that
# it accepts each: publish FROM TO [JSON], for example publish 1 50 '"name":"bob","message":"# of 50"'.
# A # becomes the number.
publish() {
  FIELDS=${3:-'"name":"bob","message":"#"'} LC_ALL=C awk -v from="$1" -v to="$2" 'BEGIN {
      count = split(ENVIRON["FIELDS"], part, "#")
      for (i = from; i <= to; i++) {
        body = "{" part[1]
        for (j = 2; j <= count; j++) body = body i part[j]
        printf "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        printf "Content-Length: %d\r\n\r\n%s}", length(body) + 1, body
      }
    }' >"$BATS_TEST_TMPDIR/posts"
  "$TOOLS/crowd" "$PORT" send <"$BATS_TEST_TMPDIR/posts" >"$BATS_TEST_TMPDIR/answers" || true
  same "$(grep -ac '^HTTP/1.1 201' "$BATS_TEST_TMPDIR/answers")" $(($2 - $1 + 1)) || {
    tail -n 5 "$BATS_TEST_TMPDIR/answers" >&2
    return 1
  }
}

# Prints a number of the metrics of the server that was started last, with --metrics 127.0.0.1:0.
metric() { # NAME
  curl -sf "$(sed -n 's/^metrics on //p' "$SERVER_LOG")/metrics" | awk -v name="$1" '$1 == name { print $2 }'
}
