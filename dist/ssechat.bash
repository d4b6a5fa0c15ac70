# Completion of ssechat(8) for bash. bash-completion loads this file when it completes the first
# `ssechat`; without it, source the file.
# shellcheck shell=bash

_ssechat() {
  local options='--listen --www --history --max-rooms --room --room-ttl --max-streams --max-streams-per-ip
    --post-rate --max-body --heartbeat --keep-alive --retry --cors --host --trust-proxy --key --journal
    --sync --metrics --drain --log-level --access-log --check --version --help'
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=''

  # bash splits --name=VALUE into three words.
  [ "$cur" != = ] || cur=''
  if [ "$prev" = = ]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  elif [ "${COMP_WORDS[COMP_CWORD]}" != = ] && ((COMP_CWORD == 1)); then
    words='token journal probe'
  fi

  case ${COMP_WORDS[1]} in
  token) options='--key --sub --rooms --publish --ttl --help' ;;
  journal) options='--room --help' ;;
  probe) options='--timeout --help' ;;
  esac

  COMPREPLY=()
  case $prev in
  --key | --journal)
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    compopt -o filenames 2>/dev/null
    return
    ;;
  --www)
    mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    compopt -o filenames 2>/dev/null
    return
    ;;
  --sync) options='always none' ;;
  --log-level) options='error warn info debug' ;;
  --trust-proxy) options='unix 127.0.0.1 ::1' ;;
  --access-log | --check | --version | --help | --publish) ;;
  --*) return ;; # a value that only the user knows
  journal) [ "$COMP_CWORD" != 2 ] || options='check export --help' ;;
  check | export)
    if [ "$COMP_CWORD:${COMP_WORDS[1]}" = 3:journal ]; then
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      compopt -o filenames 2>/dev/null
      return
    fi
    ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words $options" -- "$cur")
}

complete -F _ssechat ssechat
