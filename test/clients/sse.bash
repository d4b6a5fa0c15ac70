# shellcheck shell=bash
# Reads Server-Sent Events in bash, by the rules of the HTML Standard, 9.2.6. A shell's variables
# cannot hold U+0000, so it is dropped.

last_id='' # send it as Last-Event-ID when you reconnect
retry=1000 # wait so many milliseconds before you reconnect; the server changes it
retry_after=0 # or so many seconds, if the last answer said so

# Reads a stream from standard input and prints each event as a line of JSON.
read_events() {
  local chunk line name value first=1 open=1
  event='' id=$last_id data=''
  while [ "$open" = 1 ]; do
    IFS= read -r chunk && chunk=${chunk%$'\r'}$'\r' || open=0
    [ "$first" = 0 ] || chunk=${chunk#$'\xef\xbb\xbf'} # a byte order mark
    first=0
    # The part that ends with LF can consist of several lines that end with CR.
    while [[ $chunk == *$'\r'* ]]; do
      line=${chunk%%$'\r'*}
      chunk=${chunk:${#line}+1} # not ${chunk#*$'\r'}: its time is quadratic in the length of a line
      name=${line%%:*} value=''
      [[ $line != *:* ]] || value=${line#*:}
      value=${value# }
      case $name in
      event) event=$value ;;
      data) data+=$value$'\n' ;;
      id) id=$value ;;
      retry) [[ ! $value =~ ^[0-9]+$ ]] || retry=$((10#$value)) ;;
      '') [ -n "$line" ] || dispatch ;; # otherwise it is a comment
      esac
    done
  done
}

dispatch() {
  last_id=$id # only now: an event that is cut off must be sent again
  # The data is no argument of jq, because the system limits an argument to 128 KiB.
  [ -z "$data" ] || jq -cRs --arg event "${event:-message}" --arg id "$id" '{$event, $id, data: .}' \
    < <(printf %s "${data%$'\n'}")
  event='' data=''
}

# Waits before the next connection. A refusal can ask for more, with Retry-After.
pause() {
  local ms=$((retry > retry_after * 1000 ? retry : retry_after * 1000))
  sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}
