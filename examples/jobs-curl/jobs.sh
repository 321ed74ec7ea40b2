#!/bin/sh
# The life of jobs, with curl: an idempotency key, a retry, dead letters, a replay.
#
#   SPINDRIFT_TOKEN=... ./jobs.sh
#
# SPINDRIFT_URL is the address of Spindrift (http://127.0.0.1:3000), QUEUE the queue (demo-<id of this process>).
set -eu
: "${SPINDRIFT_TOKEN:?expected the admin_token in SPINDRIFT_TOKEN}"
queue=${SPINDRIFT_URL:-http://127.0.0.1:3000}/_spindrift/v1/queues/${QUEUE:-demo-$$}

call() { # method path [curl option...]
    method=$1 path=$2
    shift 2
    curl --silent --show-error --fail-with-body --max-time 30 \
        -X "$method" "$queue$path" -H "Authorization: Bearer $SPINDRIFT_TOKEN" "$@"
}
text() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }     # a member of a JSON object, a string
claim() { # claims one job, and sets its id and token
    answer=$(call POST /claim -d '{"lease":30,"wait":5}')
    id=$(printf %s "$answer" | text id) token=$(printf %s "$answer" | text token)
    [ -n "$id" ] || { echo "expected a job, found $answer" >&2; exit 1; }
}

echo "1. Enqueue, twice with one key: the second answer names the same job"
first=$(call POST /jobs -H 'Idempotency-Key: order-7' -d '{"data":{"mail":"order 7"},"max_attempts":3}' | text id)
again=$(call POST /jobs -H 'Idempotency-Key: order-7' -d '{"data":{"mail":"order 7"},"max_attempts":3}' | text id)
[ "$first" = "$again" ]
echo "   one job"

echo "2. Claim it, and fail: it comes back after the delay"
claim
call POST "/jobs/$id/retry" -d "{\"token\":\"$token\",\"delay\":0.2,\"error\":\"the server is busy\"}"; echo

echo "3. Claim it again, and do it"
claim
[ "$id" = "$first" ]
call POST "/jobs/$id/ack" -d "{\"token\":\"$token\"}"; echo

echo "4. A job that cannot succeed goes to the dead letters"
call POST /jobs -d '{"data":{"mail":"nobody@"}}' > /dev/null
claim
call POST "/jobs/$id/bury" -d "{\"token\":\"$token\",\"error\":\"no such address\"}"; echo
call GET /dead; echo

echo "5. Once mended, it is replayed"
call POST "/dead/$id/replay"; echo
claim
call POST "/jobs/$id/ack" -d "{\"token\":\"$token\"}"; echo

echo "6. What has happened"
call GET ""; echo
