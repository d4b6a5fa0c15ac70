#!/bin/bash
# A client of ssechat with wget and jq.
#
#     ./wget.bash follow 'http://127.0.0.1:8080/events?room=lobby'
#     echo '{"message":"hello"}' | ./wget.bash post http://127.0.0.1:8080/messages KEY

# shellcheck disable=SC1091,SC2034,SC2154 # sse.bash sets last_id and retry, and reads retry_after
. "${BASH_SOURCE[0]%/*}/sse.bash"

# Ends the program with what the server says about an error: the `detail` of its problem+json.
fail() { # STATUS BODY
  local detail
  detail=$(jq -r .detail <<<"$2" 2>/dev/null) || true
  printf '%s %s\n' "$1" "${detail:-the answer is not from ssechat}" >&2
  exit 1
}

# Reads the head of an answer; sets status, type and retry_after.
read_head() {
  local field
  status='' type='' retry_after=0
  IFS=' ' read -r _ status _
  while IFS= read -r field && [ "${field%$'\r'}" != '' ]; do
    [[ ${field,,} != content-type:* ]] || type=${field#*: }
    [[ ! ${field,,} =~ ^'retry-after: '([0-9]+) ]] || retry_after=${BASH_REMATCH[1]}
  done
}

read_answer() {
  read_head
  case $status:$type in
  200:text/event-stream*) read_events ;;
  5??:* | 408:* | 429:* | :*) ;; # a later attempt can succeed
  *) fail "$status" "$(cat)" ;;
  esac
}

# Sends a request: prints the head and the body of the answer. wget would repeat a request by
# itself, but without Last-Event-ID.
request() { # [OPTION...] URL
  wget -q -O - --save-headers --content-on-error --tries=1 --connect-timeout=10 "$@"
}

# Prints the events of a stream. If the connection is lost, it resumes where it stopped. The server
# sends a heartbeat every 15 seconds, so a connection that is silent for 45 is dead.
follow() { # URL
  local fields
  while :; do
    fields=(--header 'Accept: text/event-stream')
    [ -z "$last_id" ] || fields+=(--header "Last-Event-ID: $last_id")
    read_answer < <(request --read-timeout=45 "${fields[@]}" "$1")
    # After a 204, wget prints no head, but succeeds: there is nothing more to come.
    ! wait $! || [ -n "$status" ] || exit 0
    pause
  done
}

# Publishes a message. After a lost connection, repeat this with the same key.
post() { # URL [KEY]
  local body status type answer
  body=$(mktemp)
  trap 'rm -f "$body"' EXIT
  cat >"$body" # wget reads a body only from a file
  {
    read_head
    answer=$(cat)
  } < <(request --read-timeout=30 --post-file="$body" --header 'Content-Type: application/json' \
    ${2:+--header "Idempotency-Key: $2"} "$1")
  [[ $status == 2?? ]] || fail "$status" "$answer"
  printf '%s %s\n' "$status" "$(jq -r .id <<<"$answer")"
}

"$@"
