# shellcheck shell=bash
# Audits the page in the current browser for people who cannot see it, see it badly, or have no mouse:
# see audit.js. Load this after helper.bash and webdriver.bash.
#
#   audit [OPTION...]          prints the faults of the page as it is now, one a line, or nothing
#   audit_focus                prints what a walk with the Tab key finds
#   finds_nothing [OPTION...]  runs both and fails if they print anything
#
# Options: `zh` if the page should be in Chinese; `touch` on a layout for fingers; `low` on a low screen.

# Sends audit.js to the page with a call of one of its functions, and prints what it returns. `tree`
# in the call is the JSON of standard input.
audit_call() { # CALL
  webdriver POST /execute/sync "$(jq -c --rawfile code "$ROOT/test/lib/audit.js" --arg call "$1" \
    '{script: ($code + "\nconst tree = arguments[0]; return " + $call), args: [.]}')"
}

# Prints the accessibility tree as audit.js wants it: tag, role and name of each element.
audit_tree() {
  local document tree
  document=$(devtools DOM.getDocument '{"depth": -1}') || return
  tree=$(devtools Accessibility.getFullAXTree '{}') || return
  jq -nc 'input as $document | input as $tree
    | [$tree.nodes[] | select(.backendDOMNodeId and (.ignored | not))] | INDEX(.backendDOMNodeId) as $nodes
    | [$document.root | recurse(.children[]?) | select(.nodeType == 1)
      | [.localName] + ($nodes[.backendNodeId | tostring] // empty | [.role.value, .name.value // ""]) // [.localName]]' \
    <<<"$document $tree"
}

# A message can arrive between the tree and the audit. Then the tree is fetched again.
audit() {
  local language=en options found
  [[ " $* " != *' zh '* ]] || language=zh
  options=$(jq -nc --arg language "$language" \
    '{language: $language} + ($ARGS.positional | map({(.): true}) | add // {})' --args -- "$@")
  for _ in {1..10}; do
    found=$(audit_tree | audit_call "auditPage(tree, $options)") || return
    [ "$found" != null ] || continue
    jq -r '.[]' <<<"$found"
    return
  done
  echo 'the page changes all the time'
}

# Presses the Tab key until it has been everywhere.
audit_focus() {
  local stops
  stops=$(echo null | audit_call 'watchFocus()') || return
  press_often $((stops + 2)) Tab || return
  echo null | audit_call 'auditFocus()' | jq -r '.[]'
}

finds_nothing() {
  same "$(audit "$@" && audit_focus)" ''
}

# Audits the page in several views, see views.bash: audit_views LANGUAGE VIEW... Prints the faults with
# their views. The walk with the Tab key is made only in views whose name ends with "+".
audit_views() {
  local name options
  for name in "${@:2}"; do
    options=("$1")
    [[ $name != *phone* && $name != *small* && $name != *low* ]] || options+=(touch)
    [[ $name != *low* ]] || options+=(low)
    # shellcheck disable=SC2086 # a list of words
    view ${name%+}
    {
      audit "${options[@]}"
      [[ $name != *+ ]] || audit_focus
    } | sed "s/^/$1 ${name%+}: /"
  done
}
