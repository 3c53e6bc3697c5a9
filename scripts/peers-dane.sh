#!/usr/bin/env bash
# OpenSSL and we make the same of the same TLSA records (RFC 6698, RFC 7671): every usage, selector
# and matching type, for each certificate of a chain and for one that is not in it, with more and
# less of the chain shown, with and without a trusted root. The digests are OpenSSL's.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# The program: $DANE, else target/debug/dane.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

dane=$(program DANE debug/dane -p shardpoll-tests --bin dane)
have openssl || { ends peers-dane; exit; }

# association CERTIFICATE SELECTOR MATCHING: what a record about it holds, in hexadecimal.
association() {
    if [ "$2" = 0 ]; then
        openssl x509 -in "$work/$1.pem" -outform der
    else
        openssl x509 -in "$work/$1.pem" -noout -pubkey | openssl pkey -pubin -outform der
    fi | case $3 in
        0) cat ;;
        1) openssl dgst -sha256 -binary ;;
        2) openssl dgst -sha512 -binary ;;
    esac | od -An -v -tx1 | tr -d ' \n'
}

# What OpenSSL says of a record: ok or no. A path built by DNS alone has no use for a root; one of
# usage 0 or 1 needs it.
openssl_says() { # address, roots or -, record
    local trust=(-no-CAfile -no-CApath -no-CAstore)
    [ "$2" = - ] || trust+=(-CAfile "$2")
    if timeout 20 openssl s_client -connect "$1" -servername localhost "${trust[@]}" \
        -dane_tlsa_domain localhost -dane_tlsa_rrdata "$3" -dane_ee_no_namechecks \
        -verify_return_error -brief </dev/null >>"$work/peer.log" 2>&1; then
        echo ok
    else
        echo no
    fi
}

# Starts a server with what is in CHAIN; sets `addr`.
openssl_serves() {
    local line chain=()
    [ ! -s "$1" ] || chain=(-cert_chain "$1")
    # exec: the process to be ended is OpenSSL's own.
    coproc server { exec openssl s_server -accept 127.0.0.1:0 -cert "$work/leaf.pem" \
        -key "$work/leaf.key" -no_ticket "${chain[@]}" 2>>"$work/peer.log"; }
    theirs_pid=$server_PID
    started[$theirs_pid]=1
    while read -r -t 20 -u "${server[0]}" line; do
        case $line in "ACCEPT 127.0.0.1:"*) addr=${line#ACCEPT }; break ;; esac
    done
    # It would stop when nobody reads what it says.
    exec 9<&"${server[0]}"
    cat <&9 >>"$work/peer.log" &
    exec 9<&-
    [[ "$line" == ACCEPT* ]]
}

we_serve() {
    mkfifo "$work/said.$1" "$work/hold.$1"
    cat "$work/leaf.pem" "$2" >"$work/serves.$1"
    "$dane" serve "$work/serves.$1" "$work/leaf.key" \
        >"$work/said.$1" <"$work/hold.$1" 2>>"$work/ours.log" &
    ours_pid=$!
    started[$ours_pid]=1
    exec 7<"$work/said.$1" 8>"$work/hold.$1"
    read -r -t 20 -u 7 _ addr
}

authority=(-addext keyUsage=critical,keyCertSign)
certificate root root "${authority[@]}"
certificate inter root "${authority[@]}"
certificate leaf inter -addext basicConstraints=critical,CA:FALSE \
    -addext subjectAltName=DNS:localhost
certificate stranger stranger "${authority[@]}"

: >"$work/chain.1"
cp "$work/inter.pem" "$work/chain.2"
cat "$work/inter.pem" "$work/root.pem" >"$work/chain.3"

for certificate in leaf inter root stranger; do
    for selector in 0 1; do
        for matching in 0 1 2; do
            data=$(association "$certificate" "$selector" "$matching")
            for usage in 0 1 2 3; do
                echo "$usage $selector $matching $data"
                echo "$certificate, usage $usage, selector $selector, matching $matching" \
                    >>"$work/names"
            done
        done
    done
done >"$work/records"

# compare WHO SHOWN ROOTS: our verdicts on the server at `ours_at`, OpenSSL's on the one at `addr`.
compare() {
    local shown=$1 roots=$2 agree=0 all=0 record name ours theirs
    "$dane" connect "$ours_at" localhost "$roots" <"$work/records" >"$work/verdicts" \
        2>>"$work/ours.log" || report "our client goes through all records" 1
    while read -r -u 3 record && read -r -u 4 name && read -r -u 5 ours; do
        theirs=$(openssl_says "$addr" "$roots" "$record")
        all=$((all + 1))
        if [ "${ours%% *}" = "$theirs" ]; then
            agree=$((agree + 1))
        else
            echo "$name, $shown shown: theirs $theirs, ours $ours" >>"$work/differences.log"
        fi
    done 3<"$work/records" 4<"$work/names" 5<"$work/verdicts"
    local trust="nobody trusted"
    [ "$roots" = - ] || trust="the root trusted"
    [ "$all" -gt 0 ] && [ "$agree" = "$all" ] && all_same=0 || all_same=1
    report "$shown of the chain shown, $trust: $agree of $all verdicts are OpenSSL's" "$all_same"
}

for shown in 1 2 3; do
    # Theirs for our client, ours for their client.
    openssl_serves "$work/chain.$shown" || report "openssl s_server listens" 1
    ours_at=$addr
    we_serve "$shown" "$work/chain.$shown"
    for roots in "$work/root.pem" -; do
        compare "$shown" "$roots"
    done
    exec 7<&- 8>&-
    waited "$ours_pid"
    report "our server ends with its input" "$status"
    kill -KILL "$theirs_pid" 2>/dev/null || true
    waited "$theirs_pid"
done

ends peers-dane
