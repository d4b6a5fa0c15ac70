#!/bin/bash
# A client of ssechat with curl and jq.
#
#     ./curl.bash follow 'http://127.0.0.1:8080/events?room=lobby'
#     echo '{"message":"hello"}' | ./curl.bash post http://127.0.0.1:8080/messages KEY

# shellcheck disable=SC1091,SC2034,SC2154 # sse.bash sets last_id and retry, and reads retry_after
. "${BASH_SOURCE[0]%/*}/sse.bash"

# Ends the program with what the server says about an error: the `detail` of its problem+json.
fail() { # STATUS BODY
  local detail
  detail=$(jq -r .detail <<<"$2" 2>/dev/null) || true
  printf '%s %s\n' "$1" "${detail:-the answer is not from ssechat}" >&2
  exit 1
}

# Reads an answer as curl prints it with -i: its head, then the stream.
read_answer() {
  local status='' field type=''
  retry_after=0
  IFS=' ' read -r _ status _
  while IFS= read -r field && [ "$field" != $'\r' ]; do
    [[ ${field,,} != content-type:* ]] || type=${field#*: }
    [[ ! ${field,,} =~ ^'retry-after: '([0-9]+) ]] || retry_after=${BASH_REMATCH[1]}
  done
  case $status:$type in
  200:text/event-stream*) read_events ;;
  204:*) exit ;; # there is nothing more to come
  5??:* | 408:* | 429:* | :*) ;; # a later attempt can succeed
  *) fail "$status" "$(cat)" ;;
  esac
}

# Prints the events of a stream. If the connection is lost, it resumes where it stopped. The server
# sends a heartbeat every 15 seconds, so a connection that is silent for 45 is dead.
follow() { # URL
  while :; do
    # -H with an empty value sends no field.
    read_answer < <(curl -sSNi --connect-timeout 10 --speed-limit 1 --speed-time 45 \
      -H 'Accept: text/event-stream' -H "Last-Event-ID: $last_id" "$1")
    pause
  done
}

# Publishes a message. After a lost connection, repeat this with the same key.
post() { # URL [KEY]
  local answer status
  answer=$(curl -sS -m 30 -w '\n%{http_code}' --data-binary @- \
    -H 'Content-Type: application/json' -H "Idempotency-Key: ${2:-}" "$1") || exit
  status=${answer##*$'\n'} answer=${answer%$'\n'*}
  [ "$status" -lt 300 ] || fail "$status" "$answer"
  printf '%s %s\n' "$status" "$(jq -r .id <<<"$answer")"
}

"$@"
