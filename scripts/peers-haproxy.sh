#!/usr/bin/env bash
# HAProxy in front of us with `send-proxy` and `send-proxy-v2`, and behind us with `accept-proxy`:
# who the client is arrives through all of it. Also the configuration of docs/operations.md is one.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# The program: $PROXIED, else target/debug/proxied.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

proxied=$(program PROXIED debug/proxied -p shardpoll-tests --bins)

for tool in haproxy nc openssl python3; do
    have "$tool" || { ends peers-haproxy; exit; }
done
certificate root root
certificate localhost root -addext subjectAltName=DNS:localhost,DNS:a.example \
    -addext basicConstraints=critical,CA:FALSE
certificate client client -addext subjectAltName=DNS:client
cat "$work/localhost.pem" "$work/localhost.key" >"$work/both.pem"

start "$proxied" serve
plain=$port plain_pid=$pid
start "$proxied" serve "tls=$work/localhost.pem,$work/localhost.key"
sealed=$port sealed_pid=$pid
start "$proxied" serve checked
checked=$port checked_pid=$pid

cat >"$work/template.cfg" <<END
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    unique-id-format id-%ci
frontend v1
    bind fd@v1
    use_backend v1
backend v1
    server one 127.0.0.1:$plain send-proxy
frontend v2
    bind fd@v2
    use_backend v2
frontend from_us
    bind fd@from_us accept-proxy
    use_backend v2
frontend from_us_tls
    bind fd@from_us_tls accept-proxy ssl crt $work/both.pem
    use_backend v2
backend v2
    server one 127.0.0.1:$plain send-proxy-v2
frontend values
    bind fd@values ssl crt $work/both.pem alpn xmpp-client ca-file $work/client.pem verify optional
    use_backend values
backend values
    server one 127.0.0.1:$plain send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,authority,ssl-cipher
frontend through
    bind fd@through
    use_backend through
backend through
    server one 127.0.0.1:$sealed send-proxy-v2 proxy-v2-options crc32c
frontend checked
    bind fd@checked
    use_backend checked
backend checked
    server one 127.0.0.1:$checked send-proxy-v2 check check-send-proxy inter 100ms
END
start python3 scripts/peer_haproxy.py "$work/template.cfg" "$work/haproxy.cfg" "$work/ports"
haproxy_pid=$pid
port_of() { sed -n "s/^$1=//p" "$work/ports"; }

# A client at an address of its own: not the one that HAProxy connects from.
client=127.0.0.7
hello=$'hello\n'
for version in v1 v2; do
    says "send-proxy, $version" "${version^} peer $client:* to 127.0.0.1:*hello" "$hello" \
        nc -N -s "$client" 127.0.0.1 "$(port_of "$version")"
done
name=(-servername a.example -verify_quiet -quiet -no_ign_eof)
says "send-proxy-v2-ssl-cn: what HAProxy knows of the client's TLS, with a checksum" \
    "V2 peer 127.0.0.1:* id id-127.0.0.1 checked authority a.example alpn xmpp-client over \
TLSv1.3 TLS_*client client verified true*hello" "$hello" \
    openssl s_client -connect "127.0.0.1:$(port_of values)" "${name[@]}" -alpn xmpp-client \
    -cert "$work/client.pem" -key "$work/client.key"
says "send-proxy-v2-ssl-cn: a client without a certificate" \
    "over TLSv1.2 ECDHE*client nobody*hello" "$hello" \
    openssl s_client -connect "127.0.0.1:$(port_of values)" "${name[@]}" -tls1_2
for version in 1_2 1_3; do
    says "TLS $version passes through behind the header" "V2 peer 127.0.0.1:* checked*hello" \
        "$hello" openssl s_client -connect "127.0.0.1:$(port_of through)" "-tls$version" \
        -servername localhost -CAfile "$work/root.pem" -verify_return_error -quiet -no_ign_eof
done
says "check-send-proxy: health checks are LOCAL, and clients are served beside them" \
    "V2 peer $client:*hello" "$hello" nc -N -s "$client" 127.0.0.1 "$(port_of checked)"
converse "" "$hello" nc -N -s "$client" 127.0.0.1 "$plain"
[ "$said" = "" ] && result=0 || result=1
report "who goes around HAProxy is refused" "$result"

for options in v1 "" checksum; do
    # shellcheck disable=SC2086
    start "$proxied" front "127.0.0.1:$(port_of from_us)" $options
    says "accept-proxy: our header${options:+, $options}" \
        "V2 peer $client:* to 127.0.0.1:$port *hello" "$hello" nc -N -s "$client" 127.0.0.1 "$port"
    stops "our front ends on SIGTERM with 0"
done
start "$proxied" front "127.0.0.1:$(port_of from_us_tls)" "tls=localhost,$work/root.pem"
says "accept-proxy ssl: our header in clear, then TLS" \
    "V2 peer $client:* to 127.0.0.1:$port *hello" "$hello" nc -N -s "$client" 127.0.0.1 "$port"
stops "our front ends on SIGTERM with 0"

for pid in "$plain_pid" "$sealed_pid" "$checked_pid"; do
    stops "a server ends on SIGTERM with 0"
done
kill -KILL "$haproxy_pid"
waited "$haproxy_pid"

# The configuration that the documentation recommends.
sed -n '/^```haproxy$/,/^```$/p' docs/operations.md | sed '/^```/d' >"$work/documented.cfg"
[ -s "$work/documented.cfg" ] && haproxy -c -f "$work/documented.cfg" >>"$work/documented.log" 2>&1 &&
    result=0 || result=1
report "the configuration of docs/operations.md is a good one" "$result"

ends peers-haproxy
