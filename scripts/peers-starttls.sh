#!/usr/bin/env bash
# Real peers upgrade connections to the examples of STARTTLS: openssl s_client, gnutls-cli, curl,
# Python's smtplib.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure.
# The programs: $STARTTLS_SMTP and $STARTTLS_XMPP, else target/debug/examples.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

smtp=$(program STARTTLS_SMTP debug/examples/starttls_smtp -p shardpoll --examples)
xmpp=$(program STARTTLS_XMPP debug/examples/starttls_xmpp -p shardpoll --examples)

have openssl || { ends peers-starttls; exit; }
certificate localhost localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
files=("$work/localhost.pem" "$work/localhost.key")
trusted="$work/localhost.pem"

start "$smtp" 127.0.0.1:0 "${files[@]}"
commands=$'EHLO a.example\r\nNOOP\r\nQUIT\r\n'
answers='250-localhost*250 ENHANCEDSTATUSCODES*250 2.0.0 OK*221 2.0.0 Bye'
for version in 1_2 1_3; do
    says "openssl s_client -starttls smtp, TLS $version" "$answers" "$commands" \
        openssl s_client -connect "$addr" -starttls smtp "-tls$version" -quiet \
        -CAfile "$trusted" -verify_return_error -verify_hostname localhost
done
if have gnutls-cli; then
    for version in 1.2 1.3; do
        # It adds a CR of its own to a line's end.
        says "gnutls-cli --starttls-proto=smtp, TLS $version" "TLS$version*250 2.0.0 OK" $'NOOP\n' \
            gnutls-cli --starttls-proto=smtp --port "$port" --x509cafile "$trusted" --crlf \
            --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" localhost
    done
fi
if have curl; then
    says "curl smtp:// --ssl-reqd" "SSL certificate verify ok*250 2.0.0 OK" "" \
        curl --silent --verbose --max-time 10 --ssl-reqd --cacert "$trusted" \
        --request NOOP "smtp://localhost:$port/a.example"
fi
if have python3; then
    says "python smtplib: starttls" "TLSv1.3 (250, b'2.0.0 OK')" "" python3 -c "
import smtplib, ssl
context = ssl.create_default_context(cafile='$trusted')
with smtplib.SMTP('localhost', $port, 'a.example', 10) as peer:
    peer.starttls(context=context)
    peer.ehlo()
    assert not peer.has_extn('starttls')
    print(peer.sock.version(), peer.noop())"
fi
if have nc; then
    # Behind the command lies what somebody else may have put there.
    converse "" $'EHLO a.example\r\nSTARTTLS\r\nNOOP\r\n' nc -N 127.0.0.1 "$port"
    [[ $said == *"220 localhost"* && $said != *"Go ahead"* ]] && result=0 || result=1
    report "a command pipelined behind STARTTLS is not answered" "$result"
fi
stops "SMTP example ends on SIGTERM with 0"

start "$xmpp" 127.0.0.1:0 "${files[@]}"
stream="<stream:stream xmlns='jabber:client' to='localhost' version='1.0'
    xmlns:stream='http://etherx.jabber.org/streams'>"
sent="$stream<iq type='get' id='p1'><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>"$'\n'
answers="<stream:features/><iq type='result' id='p1'/></stream:stream>"
for version in 1_2 1_3; do
    says "openssl s_client -starttls xmpp, TLS $version" "$answers" "$sent" \
        openssl s_client -connect "$addr" -starttls xmpp -xmpphost localhost "-tls$version" \
        -quiet -CAfile "$trusted" -verify_return_error -verify_hostname localhost
done
if have gnutls-cli; then
    for version in 1.2 1.3; do
        says "gnutls-cli --starttls-proto=xmpp, TLS $version" "TLS$version*$answers" "$sent" \
            gnutls-cli --starttls-proto=xmpp --port "$port" --x509cafile "$trusted" \
            --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" localhost
    done
fi
stops "XMPP example ends on SIGTERM with 0"

ends peers-starttls
