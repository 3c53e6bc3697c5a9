# What the scripts of real peers share; they source it.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# shellcheck shell=bash

require=${REQUIRE_PEERS:-0}
work=$(mktemp -d)
target=${CARGO_TARGET_DIR:-target}
# What runs, by its process' number; one that was waited for may be anybody's.
declare -A started=()
failures=0
converse_calls=0

finish() {
    for pid in "${!started[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# program VARIABLE DEFAULT PACKAGE...: its path, by the variable or where cargo puts it.
program() {
    local path=${!1:-$target/$2}
    [ -x "$path" ] || {
        echo "$0: no program at $path; build it: cargo build ${*:3}" >&2
        exit 2
    }
    printf '%s' "$path"
}

report() { # name, 0 or 1
    if [ "$2" -eq 0 ]; then
        echo "ok      $1"
    else
        echo "FAILED  $1"
        failures=$((failures + 1))
    fi
}

# have TOOL: whether it is there; an absent one is named.
have() {
    command -v "$1" >/dev/null && return 0
    if [ "$require" = 1 ]; then
        report "$1 is not installed" 1
    else
        echo "skipped $1 is not installed"
    fi
    return 1
}

# start COMMAND...: starts a server that says `listening ADDR pid PID ...` when it is ready; sets
# `addr`, `port` and `pid`. The line is awaited on a pipe, not slept for.
start() {
    local fifo="$work/ready.$RANDOM" word ready
    mkfifo "$fifo"
    "$@" >"$fifo" 2>>"$work/server.log" &
    pid=$!
    started[$pid]=1
    read -r -t 10 word addr _ ready _ _ <"$fifo"
    port=${addr##*:}
    [ "$word" = listening ] && [ "$ready" = "$pid" ]
}

# waited PID: its exit code is in `status`.
waited() {
    status=0
    wait "$1" 2>/dev/null || status=$?
    unset "started[$1]"
}

# stops NAME: the server that was started ends at SIGTERM, with 0.
stops() {
    kill -TERM "$pid"
    waited "$pid"
    report "$1" "$status"
}

# converse WANT SENT COMMAND...: a peer is started and sent SENT; its input ends when it has said
# WANT, a pattern as [[ ]] has them, or nothing more for 15 s. All it says is in `said` then, and
# its exit code in `status`.
converse() {
    local want=$1 sent=$2 line="" to from input output peer
    shift 2
    converse_calls=$((converse_calls + 1))
    to="$work/to.$converse_calls" from="$work/from.$converse_calls"
    mkfifo "$to" "$from"
    timeout 20 "$@" <"$to" >"$from" 2>&1 &
    peer=$!
    started[$peer]=1
    exec {input}>"$to" {output}<"$from"
    said=""
    # In a process of its own, since one that has ended already would end this one by SIGPIPE.
    (printf '%s' "$sent" >&"$input") 2>/dev/null || true
    # shellcheck disable=SC2053
    while [[ $said != *$want* ]]; do
        if ! IFS= read -r -t 15 line <&"$output"; then
            said+=$line
            break
        fi
        said+=$line$'\n'
    done
    exec {input}>&-
    said+=$(timeout 20 cat <&"$output")
    exec {output}<&-
    waited "$peer"
}

# says NAME WANT SENT COMMAND...: what it says must fit WANT.
says() {
    local name=$1
    shift
    converse "$@"
    if [[ $said == *$1* ]]; then
        report "$name" 0
    else
        report "$name" 1
        printf -- '--- %s\nwanted: %s\nsaid: %s\n' "$name" "$1" "$said" >>"$work/failed.log"
    fi
}

# ends NAME: the script's last word, and its exit code.
ends() {
    if [ "$failures" -gt 0 ]; then
        echo "$1: $failures failed; what they said:" >&2
        tail -n 200 "$work"/*.log >&2
        exit 1
    fi
    echo "$1: all passed"
}

# certificate NAME ISSUER OPTIONS...: makes NAME.pem and NAME.key; ISSUER is the name of another, or
# NAME itself.
certificate() {
    local name=$1 issuer=$2 by=()
    shift 2
    [ "$issuer" = "$name" ] || by=(-CA "$work/$issuer.pem" -CAkey "$work/$issuer.key")
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj "/CN=$name" -keyout "$work/$name.key" -out "$work/$name.pem" "${by[@]}" "$@" \
        2>>"$work/certificates.log"
}
