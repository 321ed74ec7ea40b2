#!/bin/sh
# Purges by tag after a deploy, then requests the front page.
#
#   SPINDRIFT_TOKEN=... ./purge.sh [--soft] tag...
#
# SPINDRIFT_URL is the address of Spindrift (http://127.0.0.1:3000), SITE the one that visitors use (the same).
set -eu
url=${SPINDRIFT_URL:-http://127.0.0.1:3000}
site=${SITE:-$url}
: "${SPINDRIFT_TOKEN:?expected the admin_token in SPINDRIFT_TOKEN}"

soft=false
if [ "${1:-}" = --soft ]; then
    soft=true
    shift
fi
[ $# -gt 0 ] || { echo "expected a tag, found none" >&2; exit 2; }

# {"tags":["a","b"]}; a tag has no quotes, backslashes or commas.
tags=$(printf ',"%s"' "$@")
body="{\"tags\":[${tags#,}],\"soft\":$soft}"

# 503: Redis is unavailable, and part of the purge may have been carried out. Repeating it is always safe.
tries=5
while :; do
    answer=$(curl --silent --show-error --max-time 30 -w ' %{http_code}' \
        -X POST "$url/_spindrift/v1/purge" -H "Authorization: Bearer $SPINDRIFT_TOKEN" -d "$body") || true
    case $answer in
        *" 200") break ;;
        *" 503" | *" 000") tries=$((tries - 1)) ;;
        *) tries=0 ;;
    esac
    echo "not purged: $answer" >&2
    [ "$tries" -gt 0 ] || exit 1
    sleep 1
done
echo "purged: ${answer% 200}"

# The purge was done when the answer came: from now on, no instance serves what was purged.
echo "$site/ -> $(curl --silent --show-error --max-time 30 -o /dev/null -D - "$site/" \
    | tr -d '\r' | sed -n 's/^[Cc]ache-[Ss]tatus: //p')"
