#!/usr/bin/env bash
# What our TLS connections can be bound to is what OpenSSL and GnuTLS say of the same connections:
# exported keying material (RFC 5705, RFC 8446), tls-exporter (RFC 9266), tls-server-end-point
# (RFC 5929), as server and as client, in TLS 1.2 and 1.3, resumed and not.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# The program: $BINDING, else target/debug/binding.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

binding=$(program BINDING debug/binding -p shardpoll-tests --bin binding)

own_label=EXPERIMENTAL-shardpoll
channel_label=EXPORTER-Channel-Binding

# same NAME OURS THEIRS: equal, and values at all; the case of the digits is the peer's.
same() {
    if [[ "$2" =~ ^[0-9a-f]{64,}$ ]] && [ "$2" = "${3,,}" ]; then
        report "$1" 0
    else
        echo "$1: ours '$2', theirs '$3'" >>"$work/differences.log"
        report "$1" 1
    fi
}

# server_certificate NAME DIGEST OPTIONS...: makes one, and what RFC 5929 says of it.
server_certificate() {
    local name=$1 digest=$2
    shift 2
    # Trusted as it is, and no authority: those do not serve.
    printf '%s\n' '[req]' 'distinguished_name = dn' 'x509_extensions = server' '[dn]' '[server]' \
        'subjectAltName = DNS:localhost' 'basicConstraints = critical, CA:FALSE' >"$work/req.cnf"
    openssl req -x509 -nodes -days 2 -subj /CN=localhost -config "$work/req.cnf" \
        -keyout "$work/$name.key" -out "$work/$name.pem" "-$digest" "$@" 2>>"$work/peer.log"
    openssl x509 -in "$work/$name.pem" -outform der |
        openssl dgst "-$digest" -r | cut -d' ' -f1 >"$work/$name.end-point"
}

# Reads a block of values that our side printed, from descriptor $1, into `ours`.
declare -A ours
block() {
    ours=()
    local name value
    while read -r -t 20 -u "$1" name value; do
        [ "$name" = end ] && return 0
        ours[$name]=$value
    done
    return 0
}

# Starts our server with a certificate; its lines are read from descriptor 7, and it ends when
# descriptor 8 is closed. Sets `addr`.
serve() {
    mkfifo "$work/said.$1" "$work/hold.$1"
    "$binding" serve "$work/$1.pem" "$work/$1.key" \
        >"$work/said.$1" <"$work/hold.$1" 2>>"$work/ours.log" &
    served=$!
    started[$served]=1
    exec 7<"$work/said.$1" 8>"$work/hold.$1"
    read -r -t 20 -u 7 _ addr
}

# Ends it.
served() {
    exec 7<&- 8>&-
    waited "$served"
    [ "$status" -eq 0 ] || report "our server ends with its input" 1
}

# until_line WANT: reads the coprocess until a line holds WANT; all of it is added to `heard`.
until_line() {
    local line
    while read -r -t 20 -u "${peer[0]}" line; do
        heard+=$line$'\n'
        [[ "$line" == *"$1"* ]] && return 0
    done
    return 1
}

keying_material() { sed -n 's/.*Key\(ing\)\? material: \([0-9A-Fa-f]*\).*/\2/p' <<<"$heard" | tail -1; }

# s_client CERTIFICATE NAME LABEL WHAT OPTIONS...: talks to our server until it is greeted, by when
# it has its tickets as well.
s_client() {
    local cert=$1 name=$2 label=$3 what=$4
    shift 4
    heard=""
    coproc peer { exec timeout 20 openssl s_client -connect "$addr" -servername localhost \
        -keymatexport "$label" -keymatexportlen 32 "$@" 2>>"$work/peer.log"; }
    local id=$peer_PID input=${peer[1]}
    until_line greetings || true
    block 7
    eval "exec $input>&-"
    wait "$id" || true
    same "$name: $what" "${ours[$what]-}" "$(keying_material)"
    same "$name: tls-server-end-point" "${ours[tls-server-end-point]-}" \
        "$(cat "$work/$cert.end-point")"
}

resumed_is() { # name, want
    if [ "${ours[resumed]-}" = "$2" ]; then report "$1" 0; else report "$1" 1; fi
}

gnutls_cli() { # certificate, version, more priorities
    heard=$(printf 'bye\n' | timeout 20 gnutls-cli --verbose --x509cafile "$work/$1.pem" \
        --keymatexport "$own_label" --keymatexportsize 32 --port "${addr##*:}" \
        --priority "NORMAL:-VERS-ALL:+VERS-TLS$2${3-}" localhost 2>>"$work/peer.log") || true
    block 7
}

as_server() {
    local cert=$1 version
    serve "$cert"
    for version in 1.2 1.3; do
        local flag=-tls${version/./_} name="openssl s_client, TLS $version, $cert"
        local ticket="$work/ticket.$cert.$version"
        s_client "$cert" "$name" "$own_label" keying-material "$flag" -sess_out "$ticket"
        resumed_is "$name: a session of its own" false
        s_client "$cert" "$name, resumed" "$own_label" keying-material "$flag" -sess_in "$ticket"
        resumed_is "$name, resumed: it says so" true
        if [ "$version" = 1.3 ]; then
            # There an empty context, which RFC 9266 asks for, is the same as none.
            s_client "$cert" "$name" "$channel_label" tls-exporter "$flag"
        fi
    done
    if have gnutls-cli; then
        for version in 1.2 1.3; do
            local name="gnutls-cli, TLS $version, $cert"
            gnutls_cli "$cert" "$version"
            same "$name: keying-material" "${ours[keying-material]-}" "$(keying_material)"
        done
        gnutls_cli "$cert" 1.2 :%NO_SESSION_HASH
        local cause="none: TLS 1.2 without extended master secret"
        if [ "${ours[tls-exporter]-}" = "$cause" ] && [ "${ours[keying-material]-}" = "$cause" ]; then
            report "gnutls-cli without extended master secret, $cert: told by its cause" 0
        else
            report "gnutls-cli without extended master secret, $cert: told by its cause" 1
        fi
    fi
    served
}

# calls NAME CERTIFICATE PORT SAYS: our client connects twice; the second time it resumes. SAYS is
# what the peer is to be told so that it speaks, if it does not by itself.
calls() {
    local name=$1 cert=$2 port=$3 says=$4 what=$5 turn
    mkfifo "$work/called.$port"
    "$binding" connect "127.0.0.1:$port" localhost "$work/$cert.pem" 2 \
        >"$work/called.$port" 2>>"$work/ours.log" &
    local id=$!
    started[$id]=1
    exec 7<"$work/called.$port"
    for turn in "" ", resumed"; do
        heard=""
        block 7
        until_line "material: " || true
        [ -z "$says" ] || printf '%s\n' "$says" >&"${peer[1]}"
        same "$name$turn: $what" "${ours[$what]-}" "$(keying_material)"
        same "$name$turn: tls-server-end-point" "${ours[tls-server-end-point]-}" \
            "$(cat "$work/$cert.end-point")"
        if [ -z "$turn" ]; then resumed_is "$name$turn" false; else resumed_is "$name$turn" true; fi
    done
    exec 7<&-
    waited "$id"
    [ "$status" -eq 0 ] || report "$name: our client ends well" 1
}

as_client() { # certificate, version, label, what
    local cert=$1 version=$2 label=$3 what=$4 port
    local name="openssl s_server, TLS $version, $cert"
    heard=""
    coproc peer { exec openssl s_server -accept 127.0.0.1:0 -cert "$work/$cert.pem" \
        -key "$work/$cert.key" "-tls${version/./_}" -keymatexport "$label" -keymatexportlen 32 \
        2>>"$work/peer.log"; }
    local id=$peer_PID
    started[$id]=1
    until_line "ACCEPT 127.0.0.1:" || { report "$name: it listens" 1; return; }
    port=$(sed -n 's/^ACCEPT 127.0.0.1:\([0-9]*\).*/\1/p' <<<"$heard")
    calls "$name" "$cert" "$port" go "$what"
    kill -KILL "$id" 2>/dev/null || true
    waited "$id"
}

if have openssl; then
    server_certificate p256 sha256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
    server_certificate p384 sha384 -newkey ec -pkeyopt ec_paramgen_curve:P-384
    server_certificate rsa sha512 -newkey rsa:2048
    for cert in p256 p384 rsa; do
        as_server "$cert"
        as_client "$cert" 1.2 "$own_label" keying-material
        as_client "$cert" 1.3 "$own_label" keying-material
        as_client "$cert" 1.3 "$channel_label" tls-exporter
    done
fi

ends peers-binding
