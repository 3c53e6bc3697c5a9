#!/usr/bin/env bash
# What TLS can be asked for, beside OpenSSL, GnuTLS and Python: certificates by name, client
# certificates, resumption, ALPN; and ours as the client, with STARTTLS too.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# The program: $TLSPEER, else target/debug/tlspeer.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

tlspeer=$(program TLSPEER debug/tlspeer -p shardpoll-tests --bin tlspeer)
hello=$'hello over TLS\n'

have openssl || { ends peers-tls; exit; }
certificate authority authority -addext keyUsage=critical,keyCertSign
certificate stranger stranger -addext keyUsage=critical,keyCertSign
for host in a.example wild.example localhost; do
    alternative=DNS:$host
    [ "$host" != wild.example ] || alternative=DNS:*.wild.example
    certificate "$host" authority -addext "subjectAltName=$alternative" \
        -addext basicConstraints=critical,CA:FALSE
done
for client in client other; do
    issuer=authority
    [ "$client" != other ] || issuer=stranger
    certificate "$client" "$issuer" -addext extendedKeyUsage=clientAuth \
        -addext subjectAltName=DNS:client.example -addext basicConstraints=critical,CA:FALSE
done
pair() { printf '%s' "$work/$1.pem,$work/$1.key"; }
trusted=(-CAfile "$work/authority.pem" -verify_return_error)

# Certificates by name, and ALPN.
start "$tlspeer" serve "a.example=$(pair a.example)" "*.wild.example=$(pair wild.example)" \
    alpn=xmpp-client
for version in 1_2 1_3; do
    s_client=(openssl s_client -connect "$addr" "-tls$version" "${trusted[@]}")
    for host in a.example A.Example b.wild.example; do
        says "s_client, TLS $version: the certificate of $host" \
            "agreed TLSv$version resumed=false name=${host,,}*hello over TLS" "$hello" \
            "${s_client[@]}" -servername "$host" -verify_hostname "$host"
    done
    for host in c.example wild.example a.b.wild.example; do
        says "s_client, TLS $version: $host is unknown, an alert" "SSL alert number" "" \
            "${s_client[@]}" -servername "$host"
    done
    says "s_client, TLS $version: no name, an alert" "SSL alert number" "" \
        "${s_client[@]}" -noservername
    says "s_client, TLS $version: ALPN" "ALPN protocol: xmpp-client*alpn=xmpp-client" "$hello" \
        "${s_client[@]}" -servername a.example -alpn http/1.1,xmpp-client
    says "s_client, TLS $version: ALPN without a protocol in common, an alert" \
        "alert no application protocol" "" "${s_client[@]}" -servername a.example -alpn http/1.1
done
if have gnutls-cli; then
    gnutls=(gnutls-cli --port "$port" --x509cafile "$work/authority.pem" localhost)
    says "gnutls-cli: the certificate of a.example" "name=a.example*hello over TLS" "$hello" \
        "${gnutls[@]}" --sni-hostname a.example --verify-hostname a.example
    says "gnutls-cli: c.example is unknown, an alert" "fatal alert" "" \
        "${gnutls[@]}" --sni-hostname c.example --verify-hostname c.example
fi
if have curl; then
    says "curl https://: the certificate of a.example" "SSL certificate verify ok" "" \
        curl --silent --verbose --no-alpn --http0.9 --max-time 2 --cacert "$work/authority.pem" \
        --connect-to "a.example:443:$addr" https://a.example
fi
stops "server of names ends on SIGTERM with 0"

# Resumption, and client certificates on top of it.
for how in required optional record; do
    start "$tlspeer" serve "certificate=$(pair localhost)" "clients=$how,$work/authority.pem"
    for version in 1_2 1_3; do
        s_client=(openssl s_client -connect "$addr" "-tls$version" "${trusted[@]}"
            -servername localhost)
        name="s_client, TLS $version, client certificates $how"
        known=(-cert "$work/client.pem" -key "$work/client.key")
        unknown=(-cert "$work/other.pem" -key "$work/other.key")
        ticket="$work/ticket.$how.$version"
        says "$name: one that is known is accepted" \
            "New, TLSv*certificates=[12] verdict=*hello over TLS" "$hello" \
            "${s_client[@]}" "${known[@]}" -sess_out "$ticket"
        says "$name: resumed with it" \
            "Reused, TLSv*resumed=true*certificates=[12] verdict=*hello over TLS" "$hello" \
            "${s_client[@]}" "${known[@]}" -sess_in "$ticket"
        without="SSL alert number" stranger="SSL alert number"
        [ "$how" = required ] || without="certificates=0 verdict=*hello over TLS"
        [ "$how" != record ] || stranger="certificates=1 verdict=not verified*hello over TLS"
        says "$name: without one" "$without" "$hello" "${s_client[@]}"
        says "$name: one of a stranger's" "$stranger" "$hello" "${s_client[@]}" "${unknown[@]}"
    done
    if have gnutls-cli; then
        says "gnutls-cli, client certificates $how" "certificates=1*hello over TLS" "$hello" \
            gnutls-cli --port "$port" --x509cafile "$work/authority.pem" localhost \
            --x509certfile "$work/client.pem" --x509keyfile "$work/client.key"
    fi
    stops "server with client certificates $how ends on SIGTERM with 0"
done

# Ours is the client of openssl s_server, which says everything backwards.
calls=("$tlspeer" connect)
for version in 1.2 1.3; do
    mkfifo "$work/accept.$version"
    openssl s_server -accept 127.0.0.1:0 -rev "-tls${version/./_}" -alpn xmpp-server \
        -cert "$work/localhost.pem" -key "$work/localhost.key" -CAfile "$work/authority.pem" \
        -Verify 1 -verify_return_error >"$work/accept.$version" 2>>"$work/server.log" &
    pid=$!
    started[$pid]=1
    exec 6<"$work/accept.$version"
    until [[ ${line:-} == "ACCEPT "* ]]; do read -r -t 10 -u 6 line; done
    addr=${line#ACCEPT } line=""
    to=("$addr" localhost "$work/authority.pem" "version=$version")
    name="openssl s_server, TLS $version, we call"
    says "$name, with a certificate" "agreed TLSv${version/./_} resumed=false*said olleh*ended" \
        "" "${calls[@]}" "${to[@]}" "certificate=$(pair client)" alpn=xmpp-server
    says "$name three times: the others are resumed" \
        "resumed=false*said olleh*resumed=true*said olleh*resumed=true*said olleh*ended" "" \
        "${calls[@]}" "${to[@]}" "certificate=$(pair client)" times=3
    says "$name without a certificate: its alert is told" "ended*received fatal alert" "" \
        "${calls[@]}" "${to[@]}"
    says "$name by another name: it is not who it should be" "ended*" "" \
        "${calls[@]}" "$addr" elsewhere.example "$work/authority.pem" "certificate=$(pair client)"
    [[ $said != *agreed* ]] && result=0 || result=1
    report "$name by another name: no handshake" "$result"
    says "$name by another name, recorded" "verdict=not verified*said olleh" "" \
        "${calls[@]}" "$addr" elsewhere.example "$work/authority.pem" \
        "certificate=$(pair client)" record
    exec 6<&-
    kill -KILL "$pid"
    waited "$pid"
done

if have python3; then
    server=(python3 scripts/peer_starttls.py "$work/localhost.pem" "$work/localhost.key")
    start "${server[@]}" once 3
    says "python ssl, STARTTLS, we call three times" \
        "resumed=false*said you said hello*resumed=true*said you said hello*resumed=true*ended" "" \
        "${calls[@]}" "$addr" localhost "$work/authority.pem" starttls times=3
    waited "$pid"
    report "python ssl, STARTTLS: it has nothing to complain about" "$status"
    start "${server[@]}" injecting 1
    says "python ssl, STARTTLS: plaintext behind the answer ends the connection" \
        "plaintext behind starttls" "" \
        "${calls[@]}" "$addr" localhost "$work/authority.pem" starttls
    waited "$pid"
fi

ends peers-tls
