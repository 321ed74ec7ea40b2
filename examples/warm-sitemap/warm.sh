#!/bin/sh
# Fetches every page of a sitemap into the cache.
#
#   SPINDRIFT_TOKEN=... ./warm.sh [sitemap]
#
# The sitemap is a URL or a file; the default is /sitemap.xml at SPINDRIFT_URL (http://127.0.0.1:3000).
set -eu
url=${SPINDRIFT_URL:-http://127.0.0.1:3000}
sitemap=${1:-$url/sitemap.xml}
: "${SPINDRIFT_TOKEN:?expected the admin_token in SPINDRIFT_TOKEN}"
batch=${BATCH:-50} # at most 1000; a request is answered when its whole batch has been fetched

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

case $sitemap in
    http://* | https://*) curl --silent --show-error --fail-with-body --max-time 30 "$sitemap" ;;
    *) cat "$sitemap" ;;
esac > "$directory/sitemap"
# One URL per line: the contents of each <loc>. &amp; is the only entity that URLs need.
tr -d '\n\r' < "$directory/sitemap" | sed 's/<loc>/\n&/g' \
    | sed -n 's/^<loc>[[:space:]]*\([^<[:space:]]*\)[[:space:]]*<.*/\1/p' | sed 's/&amp;/\&/g' > "$directory/urls"
echo "$(grep -c . "$directory/urls" || true) pages in $sitemap"

split -l "$batch" "$directory/urls" "$directory/batch."
for part in "$directory"/batch.*; do
    [ -e "$part" ] || break
    urls=$(sed 's/\\/%5C/g; s/"/%22/g; s/.*/"&"/' "$part" | paste -sd, -)
    # {"stored":2,"results":[{"url":"...","status":200,"stored":true}, ...]}
    answer=$(curl --silent --show-error --fail-with-body --max-time 300 \
        -X POST "$url/_spindrift/v1/warm" -H "Authorization: Bearer $SPINDRIFT_TOKEN" -d "{\"urls\":[$urls]}")
    echo "stored: $(printf %s "$answer" | sed 's/.*"stored":\([0-9][0-9]*\).*/\1/')"
    # The URLs that were not stored, and why.
    printf %s "$answer" | sed 's/},{/}\n{/g' | grep '"stored":false' | grep -o '{"[^{}]*}' || true
done
