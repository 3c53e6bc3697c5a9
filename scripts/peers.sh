#!/usr/bin/env bash
# Real peers talk to `shardload serve`: openssl s_client, Python's ssl, nc, curl telnet://.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# The server binary: $SHARDLOAD, else target/release/shardload.
set -euo pipefail
cd "$(dirname "$0")/.."

shardload=${SHARDLOAD:-target/release/shardload}
require=${REQUIRE_PEERS:-0}
work=$(mktemp -d)
servers=()
failures=0

finish() {
    for pid in "${servers[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT

[ -x "$shardload" ] || {
    echo "peers: no server at $shardload; build it: cargo build --release -p shardpoll-bench" >&2
    exit 2
}

# Starts a server; sets `addr` and `pid`. The ready line is awaited on a pipe, not slept for.
serve() {
    local fifo="$work/ready.$RANDOM"
    mkfifo "$fifo"
    "$shardload" serve --addr 127.0.0.1:0 --shards 2 --no-pin "$@" >"$fifo" 2>>"$work/server.log" &
    pid=$!
    servers+=("$pid")
    local word ready
    read -r -t 10 word addr _ ready _ _ <"$fifo"
    [ "$word" = listening ] && [ "$ready" = "$pid" ]
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

# says NAME WANT COMMAND...: its output, with `sent` as input, must contain WANT.
says() {
    local name=$1 want=$2 got
    shift 2
    got=$(printf '%s' "$sent" | timeout 20 "$@" 2>>"$work/peer.log") || true
    if [[ "$got" == *"$want"* ]]; then report "$name" 0; else report "$name" 1; fi
}

# s_client leaves when its input ends, so the reply is read before the input is closed.
s_client() { # name, options...
    local name=$1 line=""
    shift
    coproc client { timeout 20 openssl s_client -connect "$addr" -quiet -no_ign_eof "$@" 2>>"$work/peer.log"; }
    local client_id=$client_PID
    printf 'hello over %s\n' "$name" >&"${client[1]}"
    read -r -t 15 line <&"${client[0]}" || true
    eval "exec ${client[1]}>&-"
    wait "$client_id" || true
    if [ "$line" = "hello over $name" ]; then report "$name" 0; else report "$name" 1; fi
}

# stops NAME: SIGTERM drains and exits 0.
stops() {
    local status=0
    kill -TERM "$pid"
    wait "$pid" || status=$?
    report "$1" "$status"
}

serve
port=${addr##*:}
sent=$'hello, plain\n'
if have nc; then
    says "nc: echo, then half-close" "hello, plain" nc -N 127.0.0.1 "$port"
fi
if have curl; then
    says "curl telnet://" "hello, plain" curl --silent --max-time 10 "telnet://$addr"
fi
stops "plain server ends on SIGTERM with 0"

serve --tls
port=${addr##*:}
if have openssl; then
    s_client "openssl s_client, TLS 1.3" -tls1_3
    s_client "openssl s_client, TLS 1.2" -tls1_2
fi
if have python3; then
    for version in TLSv1_2 TLSv1_3; do
        if timeout 30 python3 scripts/peer_ssl.py 127.0.0.1 "$port" "$version" 2>>"$work/peer.log"; then
            report "python ssl, $version: 4 MiB, then unwrap" 0
        else
            report "python ssl, $version: 4 MiB, then unwrap" 1
        fi
    done
fi
stops "TLS server ends on SIGTERM with 0"

if [ "$failures" -gt 0 ]; then
    echo "peers: $failures failed; what they said:" >&2
    tail -n 40 "$work"/*.log >&2
    exit 1
fi
echo "peers: all passed"
