# shellcheck shell=bash
# A gate between the chat page and the server, which does to the page's messages what a test says, and
# records them. The page sends from a worker, out of reach of the developer tools. Load this after
# page.bash; see gate.py for what it can do.

# Starts a server and a gate in front of it: start_gate [options]. URL becomes the gate's.
start_gate() {
  start_server "$@"
  mkdir gate
  gate pass
  : >gate/posts
  : >gate/requests
  /usr/bin/python3 "$ROOT/test/lib/gate.py" "$PORT" gate 3>&- &
  CLIENTS+=("$!")
  eventually '[ -s gate/port ]'
  URL=http://127.0.0.1:$(<gate/port)
}

# Says what happens to the next messages, each a mode of gate.py; the last one stays.
gate() {
  printf '%s\n' "$@" >gate/new
  mv gate/new gate/modes
}

# Starts the server again behind the gate.
start_behind_again() {
  local url=$URL
  start_again "$@"
  URL=$url
}

# Waits until the gate has answered COUNT attempts in all.
await_posts() {
  eventually "[ \"\$(wc -l <gate/posts)\" -ge $1 ]"
}

# Prints the attempts as a JSON list of what a jq expression makes of each: posts EXPRESSION.
posts() {
  jq -sc "map($1)" gate/posts
}
