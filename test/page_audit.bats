#!/usr/bin/env bats
# The accessibility audit of lib/audit.js: these tests plant faults in a small page, and check that the
# audit finds each of them, and nothing in the page without them. page_states.bats audits the chat page.
#
# seconds: 60
# build: plain

load lib/helper
load lib/webdriver
load lib/audit
load lib/page

# Opens a page without faults, with HTML added in front of its end: plant [HTML [LANG]].
plant() {
  cat >page.html <<END
<!doctype html>
<html${2- lang="en"}>
<meta charset="utf-8">
<title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root { color-scheme: light dark; --paper: #fff; --ink: #222; --edge: #767676; }
  @media (prefers-color-scheme: dark) { :root { --paper: #151715; --ink: #e7e6e0; --edge: #8a8f8a; } }
  body { margin: 0; padding: 8px; background: var(--paper); color: var(--ink); font: 16px/24px sans-serif; }
  input { background: var(--paper); color: inherit; }
  ::placeholder { color: inherit; opacity: 1; }
  button, input { min-width: 44px; min-height: 44px; border: 1px solid var(--edge); font: inherit; }
  button { background: var(--paper); color: inherit; }
  button svg { width: 24px; height: 24px; fill: none; stroke: currentColor; stroke-width: 2; }
  summary { min-height: 44px; line-height: 44px; }
  :focus-visible { outline: 2px solid currentColor; outline-offset: 1px; }
  .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .short { width: 100px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
</style>
<main>
  <h1>A page</h1>
  <h2>Messages</h2>
  <p id="state" role="status">Connected</p>
  <div role="log" aria-live="polite" aria-label="Messages"><p>Hello, see <a href="#one">one</a>.</p></div>
  <ul><li>ann</li></ul>
  <details><summary>More</summary><p>Details</p></details>
  <label for="field">Field</label> <input id="field" placeholder="Words">
  <button type="button" aria-label="Menu"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 7h16M4 12h16"/></svg></button>
  <p class="short" title="A long name that ends where its place does">A long name that ends where its place does</p>
  ${1-}
</main>
</html>
END
  open_page "file://$BATS_TEST_TMPDIR/page.html"
}

# Checks what the audit finds in the page with this HTML. In FAULTS, * is any text.
finds() { # FAULTS HTML [OPTION...]
  plant "$2"
  like "$(audit "${@:3}")" "$1" "$2"
}

# Checks what the walk with the Tab key finds.
stumbles() { # FAULTS HTML
  plant "$2"
  like "$(audit_focus)" "$1" "$2"
}

like() { # FOUND FAULTS HTML
  # shellcheck disable=SC2053 # a pattern
  [[ $1 == $2 ]] || {
    printf 'planted:  %s\nfound:    %s\nexpected: %s\n' "$3" "$1" "$2" >&2
    return 1
  }
}

emulate() { # FEATURE VALUE
  devtools Emulation.setEmulatedMedia "{\"features\": [{\"name\": \"$1\", \"value\": \"$2\"}]}" >/dev/null
}

@test "a page without faults: the audit prints nothing" {
  browser
  plant
  finds_nothing touch
  emulate prefers-color-scheme dark
  finds_nothing
  emulate forced-colors active
  finds_nothing
  emulate prefers-reduced-motion reduce
  finds_nothing
}

@test "the audit finds controls without a role or a full name" {
  browser
  finds 'button: has no name' '<button></button>'
  finds 'button "×": has no name: ×' '<button>×</button>'
  finds 'a: has no name' '<a href="#x"><img alt="" src="x" width="30" height="30"></a>'
  finds 'div "text": can be used, but has no role: generic' '<div tabindex="0">text</div>'
  finds 'span "text": looks like a control, but is none' '<span style="cursor: pointer">text</span>'
  finds 'button "Send": its name lacks the words on it: Submit / Send' '<button aria-label="Submit">Send</button>'
  finds 'button: shares its name with another: button Menu' '<button aria-label="Menu"><svg></svg></button>'
  finds 'a "one": shares its name with another: link one' '<p>and <a href="#other">one</a></p>'
  finds '' '<p>and <a href="#one">one</a></p>'
  finds '#send: is not named Send: Post' '<button id="send">Post</button>'
  finds '#retry: is not a button: link' '<p>or <a href="#x" id="retry">Retry now</a></p>'
}

@test "the audit finds markup that misleads: labels, references, lists, headings, landmarks" {
  browser
  finds 'img: has no alt' '<img src="x" width="30" height="30">'
  finds $'input: has no name\ninput: has no label' '<input>'
  finds 'input: has no label' '<input placeholder="Your name">'
  finds '#state: its id is used twice' '<p id="state">twice</p>'
  finds 'p "text": aria-describedby names nothing: nothing' '<p aria-describedby="nothing">text</p>'
  finds 'div "text": is in a list, but no item' '<ul><div>text</div></ul>'
  finds 'h4 "Deep": skips a level of headings: h2, h4' '<h4>Deep</h4>'
  finds 'body: does not have one h1: 2' '<h1>Another</h1>'
  finds 'p "text": is in no landmark' '</main><p>text</p>'
  finds 'body: does not have one main: 2' '<div role="main">text</div>'
  finds 'button "Hidden": assistive technology does not get it
button "Hidden": gets the focus, but is hidden' '<p aria-hidden="true"><button>Hidden</button></p>'
  finds 'button "First": has a positive tabindex: 3' '<button tabindex="3">First</button>'
}

@test "the audit finds live regions that say too little or too much" {
  browser
  finds 'body: does not have one log: 2' '<div role="log" aria-live="polite"></div>'
  plant
  script 'document.querySelector("[role=log]").ariaLive = "assertive"'
  same "$(audit)" 'div "Hello, see one.": is not polite: assertive'
  script 'document.querySelector("[role=log]").ariaLive = "polite"
    document.querySelector("[role=log]").ariaBusy = "true"'
  same "$(audit)" 'div "Hello, see one.": is busy and does not speak'
  script 'document.querySelector("[role=log]").ariaBusy = "false"
    document.querySelector("#state").role = "note"'
  same "$(audit)" 'body: has no status'
  finds 'p "text": speaks twice, because it is in: div "text"' '<div role="status"><p role="alert">text</p></div>'
}

@test "the audit finds another language than the page's" {
  browser
  finds 'p "中文": is not in English: 中文' '<p>中文</p>'
  finds '' '<p dir="auto">中文</p>'
  finds 'button: is not in English: 菜单' '<button aria-label="菜单"><svg></svg></button>'
  plant '' ''
  same "$(audit)" 'html: has no lang'
  plant '' ' lang="fr"'
  same "$(audit)" 'html: has another lang: fr'
  plant '' ' lang="zh-CN"'
  same "$(audit zh | grep -c 'is not in Chinese')" 11
  plant '<style>main > * { display: none }</style>
    <h1 style="display: block">网页</h1><p style="display: block">用 ssechat 发送</p>' ' lang="zh-CN"'
  same "$(audit zh)" ''
}

@test "the audit finds text and shapes without enough contrast" {
  browser
  finds 'p "grey": contrast: 4.48 (#777777 on #ffffff)' '<p style="color: #777">grey</p>'
  finds '' '<p style="color: #767676">grey</p>'
  finds '' '<p style="color: #949494; font-size: 24px; line-height: 32px">grey</p>'
  finds '' '<p style="color: #949494; font-size: 19px; font-weight: 700">grey</p>'
  finds 'p "grey": contrast: 2.85 (#999999 on #ffffff)' '<p style="color: #0006">grey</p>'
  finds 'b "grey": contrast: 3.79 (#666666 on #d2d2d2)' \
    '<p style="background: #aaa8"><b style="color: #666">grey</b></p>'
  finds 'p "grey": contrast: 3.95 (#656565 on #d5d5d5)' \
    '<p style="background: color-mix(in srgb, #aaa 50%, transparent); color: #656565">grey</p>'
  finds 'p "pale": is pale: opacity 0.9' '<p style="opacity: 0.9">pale</p>'
  finds 'p "text": its contrast with an image is unknown' \
    '<p style="background: linear-gradient(#fff, #eee)">text</p>'
  finds 'input.pale: placeholder contrast: 2.32 (#aaaaaa on #ffffff)' \
    '<style>.pale::placeholder { color: #aaa }</style><input class="pale" aria-label="Pale" placeholder="words">'
  finds 'input: edge contrast: 1.32' '<input aria-label="Pale" style="border-color: #e0e0e0">'
  finds 'button: icon contrast: 1.61' '<button aria-label="Other" style="color: #ccc">
    <svg viewBox="0 0 24 24"><path d="M4 7h16"/></svg></button>'
  finds '' '<button disabled style="opacity: 0.4">Disabled</button>'
  finds 'p.day "text": ::before has text: "Today"' '<style>.day::before { content: "Today" }</style><p class="day">text</p>'
  finds 'button.hot "Hot": contrast: 1.61 (#cccccc on #ffffff), under the pointer' '<style>
    .hot { transition: color 1s } @media screen { .hot:hover { color: #ccc } }</style><button class="hot">Hot</button>'
  emulate prefers-color-scheme dark
  finds 'p "text": contrast: 1.13 (#222222 on #151715)' '<p style="color: #222">text</p>'
}

@test "the audit finds targets that are too small" {
  browser
  finds 'button "x": is smaller than 24: 20 × 30' '<button style="all: unset; width: 20px; height: 30px">x</button>'
  finds '' '<button style="all: unset; width: 24px; height: 24px">x</button>'
  finds 'button "x": is smaller than 44: 43 × 44' '<button style="all: unset; width: 43px; height: 44px">x</button>' touch
  finds '' '<button style="all: unset; width: 40px; height: 40px">x</button>' touch low
  finds '' '<style>.wide::after { position: absolute; inset: -12px; content: "" }</style>
    <button class="wide" style="all: unset; position: relative; width: 24px; height: 24px; margin: 20px">x</button>' touch
  finds 'input: makes phones zoom in: 15px' '<input aria-label="Small" style="font-size: 15px">' touch
}

@test "the audit finds text that is cut off, covered or outside, and scrolling that a keyboard cannot do" {
  browser
  finds 'p "A long text that does n…": is cut off: *px of x' \
    '<p style="width: 100px; overflow: hidden; white-space: nowrap">A long text that does not fit</p>'
  finds 'p "twolines": is cut off: 2?px of y' '<p style="height: 24px; overflow: hidden">two<br>lines</p>'
  finds '' '<p style="height: 24px; overflow: auto" tabindex="0" role="group" aria-label="Lines">two<br>lines</p>'
  finds 'p "twolines": scrolls, but not by keyboard' '<p style="height: 24px; overflow: auto">two<br>lines</p>'
  finds 'p "text": is outside the window: -90 to *' '<p style="position: fixed; left: -90px">text</p>'
  finds 'html: scrolls sideways: 3000 > 1200' '<div style="width: 2992px">text</div>'
  finds 'p "below": is drawn over: p "above"' '<p>below</p><p style="position: relative; top: -40px">above</p>'
  finds '' '<p>below</p><p style="position: relative; top: -40px; background: #fff">above</p>'
}

@test "the audit finds motion that was not wanted, and shapes that forced colours remove" {
  browser
  emulate prefers-reduced-motion reduce
  finds 'p "text": moves: transition 0.2s' '<p style="transition: color 200ms">text</p>'
  finds 'p "text": moves: animation turn' \
    '<style>@keyframes turn { to { rotate: 1turn } }</style><p style="animation: turn 1s infinite">text</p>'
  finds 'p "text": moves: smooth scrolling' '<p style="scroll-behavior: smooth">text</p>'
  emulate forced-colors active
  finds 'i: vanishes with forced colours' \
    '<i style="display: block; width: 8px; height: 8px; background: #080"></i>'
  finds 'p.dot "text": ::before vanishes with forced colours' '<style>.dot::before {
      display: inline-block; width: 8px; height: 8px; background: #080; content: "" }</style><p class="dot">text</p>'
  emulate forced-colors none
  finds '' '<i style="display: block; width: 8px; height: 8px; background: #080"></i>'
}

@test "the audit finds a focus that is out of order, unseen, covered or not there" {
  browser
  stumbles 'button "Plain": does not show the focus' '<button style="outline: 0">Plain</button>'
  stumbles '' '<style>.box:focus { outline: 0; border-color: #000 }</style><button class="box">Box</button>'
  stumbles 'button.box "Box": focus contrast: 1.61' \
    '<style>.box:focus { outline: 0; border-color: #ccc }</style><button class="box">Box</button>'
  stumbles 'button "Pale": focus contrast: 1.61' '<button style="outline-color: #ccc">Pale</button>'
  stumbles 'button "Under": is covered when it has the focus: div "above"' '<div style="position: relative"><button>Under</button>
    <div style="position: absolute; inset: 0; background: #fff">above</div></div>'
  stumbles 'button "One": gets the focus against the visible order, after: button "Two"' '<div
    style="display: flex; flex-direction: row-reverse"><button>Two</button><button>One</button></div>'
  stumbles 'button "Cut": its focus ring is cut off: left top bottom' \
    '<div style="width: 90px; overflow: hidden"><button>Cut</button></div>'
  stumbles 'button "Last": is not reached with Tab' '<button id="trap">Trap</button><button>Last</button>
    <script>trap.addEventListener("keydown", (event) => event.preventDefault())</script>'
  stumbles 'button "One": gets the focus too late, after: button "Two"*' \
    '<button tabindex="2">One</button><button tabindex="1">Two</button>'
}
