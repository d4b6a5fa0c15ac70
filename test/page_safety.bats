#!/usr/bin/env bats
# The chat page against strangers: texts, names, rooms, events, data and tokens that want to become
# markup, script or links; what the page's policy refuses; what it costs; and that the page tells
# nothing to other hosts.
# shellcheck disable=SC2016,SC1003
#
# build: plain
# seconds: 55

load lib/helper
load lib/webdriver
load lib/page

# Texts that would do something if they became markup, a script, a format or a property.
HOSTILE=(
  '<img src=x onerror=broken()>'
  '<svg/onload=broken()>'
  '<script>broken()</script>'
  '"><i onclick=broken()>x</i>'
  "'-broken()-'"
  '</div></main><h1>x</h1>'
  '&lt;b&gt;&amp;&#60;b>'
  '${broken()}{{broken()}}{n}|{n}'
  'javascript:broken()'
  '__proto__'
  'constructor'
  'hasOwnProperty'
  '<!-- --><![CDATA[ x ]]>'
  '../../%3cb%3e%00?a=b&c#d'
  'a\u003cb\x3c\\'
)

# Rooms have no slashes and commas; names of people are shorter.
HOSTILE_ROOMS=()
for text in "${HOSTILE[@]}"; do [[ $text == *[/,]* ]] || HOSTILE_ROOMS+=("$text"); done

# Notes what the page's policy refuses, and calls of `broken`.
watch_policy() {
  before_loading '
    window.refused = [];
    window.broken = () => { refused.push("broken"); };
    document.addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));'
}

# Checks that nothing on the page came from a text: no element that the page does not make, no handler,
# no style; that the policy had nothing to refuse; and that the console is empty.
unharmed() {
  same "$(script 'const known = {
      "#rows, #pending": "DIV ARTICLE SPAN B TIME P A PRE CODE BDI DETAILS SUMMARY BUTTON",
      "#people": "LI BUTTON SPAN", "#rooms, #offered": "LI A SPAN BUTTON", "dialog": "FORM H2 P SPAN BUTTON LABEL INPUT DIV B BDI",
      "header, #notice, .foot": "BUTTON H1 SPAN OUTPUT" };
    const strange = Object.entries(known).flatMap(([css, tags]) => [...document.querySelectorAll(css)]
      .flatMap((place) => [...place.querySelectorAll(":not(svg, path)")])
      .filter((element) => !tags.split(" ").includes(element.tagName)));
    const armed = [...document.querySelectorAll("*")].filter((element) =>
      [...element.attributes].some(({ name }) => /^(on.*|style|srcdoc|action)$/.test(name)));
    return [...strange, ...armed].map((element) => element.outerHTML).concat(refused);')" '[]'
  same "$(browser_log | grep -v 'Cross-Origin-Opener-Policy header has been ignored')" '' # over plain http
}

# ---- Texts ----

@test "hostile messages, names, events and data are shown as what they are" {
  start_server
  local text names=()
  for text in "${HOSTILE[@]}"; do
    accepts "$(jq -nc --arg text "$text" '{name: $text[:32], message: $text}')"
    accepts "$(jq -nc --arg text "$text" '{event: $text, data: $text}')"
    accepts "$(jq -nc --arg text "$text" '{event: $text, data: {($text): [$text]}}')"
    names+=("${text:0:32}")
  done
  browser
  watch_policy
  join_chat '<u>ann'
  # From the history, and as they come.
  local turn
  for turn in 1 2; do
    same "$(conversation | jq -c ".[-${#HOSTILE[@]}:]")" "$(jq -nc '$ARGS.positional' --args -- "${HOSTILE[@]}")"
    same "$(script 'return [...document.querySelectorAll("#rows .name")].map((name) => name.textContent)' |
      jq -c ".[-${#HOSTILE[@]}:]")" "$(jq -nc '$ARGS.positional' --args -- "${names[@]}")"
    same "$(script 'return [...new Set([...document.querySelectorAll("#rows summary")].map((name) => name.textContent))]')" \
      "$(jq -nc '$ARGS.positional' --args -- "${HOSTILE[@]}")"
    same "$(script 'return [...document.querySelectorAll("#rows .event pre")].at(-1).textContent' | jq -c .)" \
      "$(jq -nc --arg text "${HOSTILE[-1]}" '{($text): [$text]}')"
    for text in "${HOSTILE[@]}"; do
      accepts "$(jq -nc --arg text "$text" '{name: $text[:32], message: $text}')"
    done
    wait_until 'document.querySelectorAll("#rows .text").length === +arguments[0]' $(((turn + 1) * ${#HOSTILE[@]}))
  done
  same "$(script 'return [...document.querySelectorAll("#people .clip")].map((name) => name.textContent)' |
    jq -c 'sort')" "$(jq -nc '$ARGS.positional | sort' --args -- '<u>ann' "${names[@]}")"
  # What a reader can do about such a person, and what it copies.
  script 'for (const person of document.querySelectorAll("#people button")) {
      person.click();
      document.querySelector("#person").close();
    }
    document.querySelector("#people button").click();' >/dev/null
  click '#mention'
  press Enter
  outbox_is_empty
  unharmed
}

@test "hostile rooms can be entered, offered, linked, left and written to" {
  start_server
  local room
  for room in "${HOSTILE_ROOMS[@]}"; do post_as bob 'in here' "$room"; done
  browser
  watch_policy
  join_chat ann
  wait_until 'document.querySelectorAll("#offered a").length === +arguments[0]' "${#HOSTILE_ROOMS[@]}"
  same "$(script 'return [...document.querySelectorAll("#offered a .clip")].map((name) => name.textContent)' | jq -c sort)" \
    "$(jq -nc '$ARGS.positional | sort' --args -- "${HOSTILE_ROOMS[@]}")"
  for room in "${HOSTILE_ROOMS[@]}"; do
    type_text '#room' "$room$ENTER"
    in_room "$room"
    wait_for_message 'in here'
    same "$(script 'return [document.title, decodeURIComponent(location.hash)]')" \
      "$(jq -nc --arg room "$room" '["\($room) · ssechat", "#\($room)"]')"
    say "to $room"
    outbox_is_empty
  done
  for room in "${HOSTILE_ROOMS[@]}"; do
    same "$(on_server "$room")" "$(jq -nc --arg room "$room" '["in here", "to \($room)"]')"
  done
  reload_page
  is_loaded
  same "$(script 'return [...document.querySelectorAll("#rooms a .clip")].map((name) => name.textContent)')" \
    "$(jq -nc '$ARGS.positional' --args -- lobby "${HOSTILE_ROOMS[@]}")"
  script 'document.querySelector("#rooms li button").click()' >/dev/null
  wait_until 'document.querySelectorAll("#rooms a").length === +arguments[0]' "${#HOSTILE_ROOMS[@]}"
  unharmed
}

@test "hostile addresses name a room or none" {
  start_server
  browser
  watch_policy
  local hash
  for hash in '#%' '#%ff' '#<img%20src=x%20onerror=broken()>' '#a/b' '#,,' '?room=<b>&room=2' '?room=%00#' '#token=' \
    '#token=<img%20src=x%20onerror=broken()>' "#$(times 3000 x)" "#$(times 900 '%f0%9f%98%80')"; do
    open_page 'about:blank'
    open_page "$URL/$hash"
    wait_until "$CONNECTED && document.querySelector('#title').textContent"
    unharmed
  done
}

@test "hostile tokens are refused or shown as text" {
  cd "$BATS_TEST_TMPDIR"
  (umask 077 && openssl rand -hex 32 >key)
  start_server --key key
  sign() { "$SSECHAT" token --key key --publish "$@"; }
  browser
  watch_policy
  open_page "$URL/#token=$(sign --sub '<b onclick=broken()>x' --rooms '<u>dev')"
  wait_until "$CONNECTED"
  same "$(script 'return ["#me", "#title", "#people .clip"].map((css) => document.querySelector(css)?.textContent)')" \
    '["<b onclick=broken()>x","<u>dev","<b onclick=broken()>x"]' ||
    wait_for_people '<b onclick=broken()>x'
  say hello
  wait_for_message hello
  # A link asks before it replaces that token. Anyone can make one, without the key.
  local claims
  for claims in '{"sub":"<img src=x onerror=broken()>","rooms":["<i>x"]}' '{"sub":{"toString":1},"rooms":{"__proto__":1},"exp":"x"}' \
    "{\"sub\":\"$(times 3000 '<b>')\"}" '[]' 'null' '"<b>"' '{'; do
    open_page 'about:blank'
    open_page "$URL/#token=e30.$(printf '%s' "$claims" | basenc --base64url -w 0 | tr -d =).e30"
    wait_until 'document.querySelector("#switching").open'
    contains "$(script 'return document.querySelector("#switching").innerText')" '<b onclick=broken()>x'
    unharmed
    click '#switching [value=keep]'
    wait_until "$CONNECTED"
  done
  same "$(conversation)" '["hello"]'
}

@test "only http and https become links, which tell the other site nothing" {
  start_server
  browser
  watch_policy
  open_chat
  local text
  for text in 'javascript:broken()' 'JaVaScRiPt:broken() javascript://x/%0abroken()' 'data:text/html,<b>' 'vbscript:x file:///etc/passwd' \
    'ftp://a.example //a.example www.a.example' 'https://bank.example@evil.example/ http://a:b@c.example' \
    'https://' 'http://javascript:broken() http://%zz http://[:::1]' 'https:/a.example https:a.example ahttps://b.example'; do
    post_as eve "$text"
  done
  post_as eve 'all: http://one.example/a?b=c#d (https://two.example/x_(y)) HTTPS://Three.example/。https://四.example「」<https://five.example/>'
  wait_until 'document.querySelectorAll("#rows .text").length === 10'
  same "$(script 'return [...document.querySelectorAll("#rows a")].map((link) => [link.textContent, link.href,
      link.target, link.rel].join(" "))' | jq -r '.[]')" "$(
    while read -r text address; do
      echo "$text $address _blank noopener noreferrer nofollow"
    done <<'END'
http://one.example/a?b=c#d http://one.example/a?b=c#d
https://two.example/x_(y) https://two.example/x_(y)
HTTPS://Three.example/ https://three.example/
https://四.example https://xn--wbs.example/
https://five.example/ https://five.example/
END
  )"
  unharmed
}

# ---- The policy ----

@test "the policy refuses markup and code from strings, and other policies" {
  start_server
  browser
  open_chat
  # In a callback: what WebDriver runs itself may evaluate strings.
  local code
  for code in 'document.body.innerHTML = "<b>"' 'document.body.outerHTML = "<b>"' 'document.body.insertAdjacentHTML("beforeend", "<b>")' \
    'document.write("<b>")' 'document.createElement("iframe").srcdoc = "<b>"' 'eval("1")' 'new Function("1")()' 'setTimeout("1")' \
    'document.createElement("script").src = "main.js"' 'document.createElement("script").text = "1"' \
    'new DOMParser().parseFromString("<b>", "text/html")' 'document.createRange().createContextualFragment("<b>")' \
    'new SharedWorker("worker.js")' 'trustedTypes.createPolicy("other", {})' 'trustedTypes.createPolicy("worker", {})'; do
    contains 'TypeError EvalError' "$(async_script "return new Promise((done) => setTimeout(() => {
      try { $code; } catch (error) { done(error.name); return; }
      done('nothing is refused: ' + arguments.length);
    }));")" || {
      echo "$code" >&2
      return 1
    }
  done
  script 'setTimeout(() => {
      const link = document.createElement("a");
      link.href = "javascript:window.ran = 1";
      document.body.append(link);
      link.click();
    });' >/dev/null
  post_as bob 'still here'
  wait_for_message 'still here'
  same "$(script 'return String(window.ran)')" undefined
}

# Uses the page as people do, all of it: use_all ADDRESS.
use_all() {
  open_page "$1/"
  is_loaded
  type_text '#name' "ann$ENTER"
  say 'hello @bob https://a.example/ 😀'
  say $'```\ncode\n```'
  say 😀
  outbox_is_empty
  accepts '{"event":"news","data":{"a":1}}'
  post_as bob 'hello @ann'
  wait_for_message 'hello @ann'
  wait_until 'document.querySelector("#rows .event")'
  click '#rows summary'
  wheel_until -2000 'document.querySelector("#older").hidden'
  click '#newer'
  click '#share'
  click '#rename'
  type_text '#name' "anna$ENTER"
  type_text '#room' "dev$ENTER"
  in_room dev
  script 'history.back()' >/dev/null
  in_room lobby
  click '#people button.person'
  click '#hide'
  wait_until '[...document.querySelectorAll("#rows .text")].at(-1).textContent === "hidden"'
  click '#people button.person'
  click '#hide'
  webdriver POST /window/rect '{"width": 500, "height": 700}' >/dev/null
  click 'header .menu'
  wait_until 'document.querySelector("#side").matches(":popover-open")'
  script 'document.querySelector("#rooms li:last-child button").click()' >/dev/null
  press Escape
  webdriver POST /window/rect '{"width": 1200, "height": 800}' >/dev/null
  local first
  first=$(this_tab)
  open_tab
  open_page "$1/"
  is_loaded
  say 'from another tab'
  outbox_is_empty
  go_to_tab "$first"
  reload_page
  is_loaded
  wait_for_message 'from another tab'
}

@test "in normal use nothing is refused, the console is empty, and no other host hears of it" {
  start_server
  publish 1 120
  # shellcheck disable=SC2034 # browser reads it
  local BROWSER_FLAGS=(--log-net-log="$BATS_TEST_TMPDIR/net.json")
  browser
  watch_policy
  use_all "$URL"
  unharmed
  webdriver_stop
  # What was asked for by the page. The browser has questions of its own.
  local asked
  asked=$(grep -F "\"initiator\":\"$URL\"" net.json | grep -o '"url":"[^"]*"' | cut -d '"' -f 4 | sort -u)
  contains "$asked" "$URL/events?"
  contains "$asked" "$URL/messages"
  same "$(grep -vF "$URL/" <<<"$asked")" ''
}

@test "over plain http, without randomUUID, clipboard and notifications, everything else works" {
  start_server
  publish 1 120
  # A name that is not the machine's own makes it an insecure context.
  # shellcheck disable=SC2034 # browser reads it
  local BROWSER_FLAGS=(--host-resolver-rules='MAP chat.example 127.0.0.1')
  browser
  watch_policy
  open_page "http://chat.example:$PORT/"
  is_loaded
  same "$(script 'return [isSecureContext, typeof crypto.randomUUID, typeof navigator.clipboard]')" '[false,"undefined","undefined"]'
  same "$(script 'return document.querySelector("#notifications").hidden')" true
  use_all "http://chat.example:$PORT"
  unharmed
}

@test "without JavaScript, the page links to the messages" {
  start_server
  post_as bob 'plain to read'
  browser
  devtools Emulation.setScriptExecutionDisabled '{"value": true}' >/dev/null
  open_page "$URL/"
  same "$(webdriver GET "/element/$(find_element '#app')/displayed")" false
  click 'noscript a'
  devtools Emulation.setScriptExecutionDisabled '{"value": false}' >/dev/null
  same "$(webdriver GET /url)" "$URL/messages"
  contains "$(script 'return document.body.innerText')" 'plain to read'
}

# ---- What it costs ----

# Plain words are read once to their end, and links are the most that honest people write. The other
# texts, of the same length, try to be read again from each of their letters.
@test "64K of dots cost about what words do, and 64K of brackets, marks or fences what links do" {
  start_server
  browser
  open_chat
  async_script 'const { textNodes, eventNode, isEmojiOnly, initialOf, roomOf, nameOf, isBlank } =
        await import(`${location.origin}/render.js`);
    const names = Array.from({ length: 100 }, (_, i) => "a".repeat(i % 32) + i);
    const work = (text) => {
      textNodes(text, { me: "ann", names });
      eventNode({ event: "x", data: text });
      for (const read of [isEmojiOnly, initialOf, roomOf, nameOf, isBlank]) read(text);
    };
    const time = (text, times) => {
      const start = performance.now();
      for (let i = 0; i < times; i += 1) work(text);
      return performance.now() - start;
    };
    // The shortest of several times: the others are those of a machine that does something else.
    const least = (text, times = 1) => Math.min(...Array.from({ length: 5 }, () => time(text, times)));
    const fill = (part) => part.repeat(65536 / part.length + 1).slice(0, 65535);
    // One that is read again from each letter takes a thousand times as long.
    const links = least(fill("https://a.example/b "));
    window.cost = {
      ofDots: () => least(fill("."), 5) / least(fill("some plain words of text "), 5),
      slow: (start, parts) => parts.flatMap((part) => ["x", "`"].map((end) =>
        (start + fill(part)).slice(0, 65535) + end))
        .filter((text) => time(text, 1) > 20 * links && least(text) > 20 * links)
        .map((text) => text.slice(0, 50)),
    };' >/dev/null
  between "$(script 'return Math.round(cost.ofDots() * 10)')" 0 100
  local start
  for start in '' 'http://' 'https://a.example/(' '```' $'```js\n' '@' '@ann' '😀' '[' '"' "$(times 40 a)"; do
    same "$(script 'return cost.slow(arguments[0], JSON.parse(arguments[1]))' "$start" "$(jq -c . <<<'[".", "a", "@", "@a", "`", "```", "``` ",
      "`\n", "(", "()", "[{(", ")]}", "http://", "https://a.", "http://(", "http://)", "h", "http:/", " ", "\n", "\r",
      "\u2028", "😀", "😀 ", "0\u20e3", "🇩", "\u200d", "😀\u200d", "\u0301", "e\u0301", "İ", "_*~", "\u2800", "\u200b",
      "[", "{\"a\":", "\"", "\\", "1", "-", "<!--", "&amp;", "%", "。", "」", "你", "@你"]')")" '[]'
  done
}
