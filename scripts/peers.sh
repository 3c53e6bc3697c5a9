#!/usr/bin/env bash
# Real peers talk to `shardload serve`: nc, curl telnet://, openssl s_client, gnutls-cli, Python's
# ssl; and sslscan looks at what it speaks.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# The server: $SHARDLOAD, else target/release/shardload.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

shardload=$(program SHARDLOAD release/shardload --release -p shardpoll-bench)

serve() { start "$shardload" serve --addr 127.0.0.1:0 --shards 2 --no-pin "$@"; }

serve
plain=$'hello, plain\n'
if have nc; then
    says "nc: echo, then half-close" "hello, plain" "$plain" nc -N 127.0.0.1 "$port"
fi
if have curl; then
    says "curl telnet://" "hello, plain" "$plain" \
        curl --silent --max-time 2 "telnet://$addr"
fi
stops "plain server ends on SIGTERM with 0"

serve --tls
hello=$'hello over TLS\n'
if have openssl; then
    for version in 1_2 1_3; do
        client=(openssl s_client -connect "$addr" "-tls$version")
        says "openssl s_client, TLS $version" "hello over TLS" "$hello" \
            "${client[@]}" -quiet -no_ign_eof
        # The kernel gives the second connection to either shard: the ticket is good for both.
        ticket="$work/ticket.$version"
        says "openssl s_client, TLS $version: a session of its own" \
            "New, TLSv*hello over TLS" "$hello" "${client[@]}" -sess_out "$ticket"
        for _ in 1 2 3; do
            says "openssl s_client, TLS $version: resumed" \
                "Reused, TLSv*hello over TLS" "$hello" "${client[@]}" -sess_in "$ticket"
        done
    done
    says "openssl s_client: tickets allow no early data" "Max Early Data: 0" "$hello" \
        openssl s_client -connect "$addr" -tls1_3
    for flag in -tls1 -tls1_1; do
        says "openssl s_client $flag: refused with an alert" "SSL alert number" "" \
            openssl s_client -connect "$addr" "$flag" -cipher 'ALL:@SECLEVEL=0'
    done
fi
if have gnutls-cli; then
    for version in 1.2 1.3; do
        client=(gnutls-cli --insecure --port "$port"
            --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" localhost)
        says "gnutls-cli, TLS $version" "TLS$version*Handshake was completed*hello over TLS" \
            "$hello" "${client[@]}"
        says "gnutls-cli, TLS $version: resumed" "This is a resumed session*hello over TLS" \
            "$hello" "${client[@]}" --resume
    done
    says "gnutls-cli, TLS 1.3: a KeyUpdate in the middle" \
        "Rekey was completed*after" $'before\n^rekey^\nafter\n' \
        "${client[@]}" --inline-commands
fi
if have python3; then
    for version in TLSv1_2 TLSv1_3; do
        says "python ssl, $version: 4 MiB, then unwrap" "whole" "" \
            python3 scripts/peer_ssl.py 127.0.0.1 "$port" "$version"
    done
fi
if have sslscan; then
    # Its search for groups waits 3 s for each record that it thinks is missing.
    scan="$work/scan.xml"
    converse "" "" sslscan --no-groups --xml="$scan" "$addr"
    spoken=$(sed -n 's/.*<protocol type="\(.*\)" version="\(.*\)" enabled="1".*/\1\2/p' "$scan")
    [ "$spoken" = $'tls1.2\ntls1.3' ] && result=0 || result=1
    report "sslscan: TLS 1.2 and 1.3 are spoken, and nothing older" "$result"
    ciphers=$(grep -c '<cipher status=' "$scan" || true)
    sound=$(grep '<cipher status=' "$scan" | grep -Ec \
        'cipher="(TLS_|ECDHE-)[^"]*(GCM|POLY1305)[^"]*".* strength="(strong|acceptable)"' || true)
    [ "$ciphers" -ge 6 ] && [ "$sound" = "$ciphers" ] && result=0 || result=1
    report "sslscan: $ciphers cipher suites, all of them AEAD with forward secrecy" "$result"
    grep -Eq '(vulnerable|renegotiation supported|compression supported)="1"' "$scan" &&
        result=1 || result=0
    report "sslscan: no Heartbleed, no renegotiation, no compression" "$result"
fi
stops "TLS server ends on SIGTERM with 0"

ends peers
