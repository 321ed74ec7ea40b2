#!/bin/sh
# Runs a command while holding a lock: of all machines that try, one at a time.
#
#   SPINDRIFT_TOKEN=... ./with-lock.sh name command [argument...]
#
# SPINDRIFT_URL is the address of Spindrift (http://127.0.0.1:3000). TTL is how long the lease lasts unless it is
# renewed (30 s), WAIT how long to wait for others (0 s, up to 10). The command finds its fence in FENCE.
# Exits with the status of the command, or with 75 (EX_TEMPFAIL) if somebody else holds the lock or the lease was lost.
set -eu
: "${SPINDRIFT_TOKEN:?expected the admin_token in SPINDRIFT_TOKEN}"
[ $# -ge 2 ] || { echo "expected a name and a command" >&2; exit 2; }
lock=${SPINDRIFT_URL:-http://127.0.0.1:3000}/_spindrift/v1/locks/$1
ttl=${TTL:-30}
shift
# Our own owner: if the answer is lost, asking again with it returns the same lease.
owner=$(uname -n):$$:$(date +%s)

call() { # method path [curl option...]
    method=$1 path=$2
    shift 2
    curl --silent --show-error --fail-with-body --max-time 20 \
        -X "$method" "$lock$path" -H "Authorization: Bearer $SPINDRIFT_TOKEN" "$@"
}

if ! answer=$(call POST "" --retry 3 -d "{\"ttl\":$ttl,\"wait\":${WAIT:-0},\"owner\":\"$owner\"}"); then
    echo "not now: $answer" >&2
    exit 75
fi
FENCE=$(printf %s "$answer" | sed -n 's/.*"fence":\([0-9]*\).*/\1/p')
export FENCE

lost=$(mktemp)
"$@" &
command=$!
# Renews the lease every third of its time. If that fails, another machine may have started, so the command is ended.
(
    nap=
    trap '[ -z "$nap" ] || kill "$nap"; exit' TERM
    while sleep $((ttl / 3 > 0 ? ttl / 3 : 1)) & nap=$!; wait "$nap"; do
        call PUT "" -d "{\"token\":\"$owner\",\"ttl\":$ttl}" || break
    done
    echo lost > "$lost"
    kill "$command"
) > /dev/null 2>&1 &
renewing=$!
trap 'kill "$command" "$renewing" 2> /dev/null || true; rm -f "$lost"' EXIT
trap 'exit 143' INT TERM

status=0
wait "$command" || status=$?
if [ -s "$lost" ]; then
    echo "the lease was lost while the command ran" >&2
    exit 75
fi
call DELETE "?token=$owner" > /dev/null || true # if this fails, the lease ends by itself
exit "$status"
