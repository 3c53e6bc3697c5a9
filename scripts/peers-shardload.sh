#!/usr/bin/env bash
# `shardload` drives real servers: redis-server (and redis-benchmark beside it), exim (SMTP with
# STARTTLS), Prosody (XMPP with STARTTLS), ngircd, nginx ending TLS, HAProxy with PROXY headers.
#
#   scripts/peers-shardload.sh [TIME]     how long each load takes; 2s unless told
#
# Everything listens on loopback, on free ports, with configurations made here, and is ended here.
# Certificates are checked against a root made here. The figures are shown, not judged; what is
# judged is that no load has an error.
#
# An absent tool is skipped, and named; with REQUIRE_PEERS=1 it is a failure. Debian's packages:
# redis-server redis-tools exim4-daemon-light prosody ngircd nginx libnginx-mod-stream haproxy.
# The program: $SHARDLOAD, else target/release/shardload.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

shardload=$(program SHARDLOAD release/shardload --release -p shardpoll-bench)
time=${1:-2s}

certificate root root
certificate localhost root -addext subjectAltName=DNS:localhost \
    -addext basicConstraints=critical,CA:FALSE
# Servers that give up being root must still reach what is theirs. The keys are for this run only.
chmod 711 "$work"
chmod 644 "$work"/*.key

# launch MAKE COMMAND...: starts a server on a free port, in `port`, and waits until it accepts; its
# process is in `pid`. MAKE is called before, and makes its configuration. Another program may take
# the port in between: then another port is tried.
launch() {
    local make=$1 _
    shift
    for _ in 1 2 3 4 5; do
        port=$(python3 -c 'import socket
with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    print(one.getsockname()[1])')
        "$make"
        "${@//PORT/$port}" >"$work/server.out" 2>&1 &
        pid=$!
        started[$pid]=1
        for _ in {1..200}; do
            kill -0 "$pid" 2>/dev/null || break
            (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
        waited "$pid"
    done
    cp "$work/server.out" "$work/failed.log"
    return 1
}

# end PID: its exit code is its own affair.
end() {
    kill -TERM "$1" 2>/dev/null || true
    waited "$1"
}

# load NAME LOAD...: a load that must go without an error; what it measured is shown, and the whole
# is in `$work/load.json`.
load() {
    local name=$1 status=0
    shift
    "$shardload" "$@" --duration "$time" --json --quiet --assert 'errors==0' \
        >"$work/load.json" 2>>"$work/load.log" || status=$?
    report "$name" "$status"
    if [ "$status" -eq 0 ]; then
        show
    elif [ -e "$work/server.out" ]; then
        tail -n 20 "$work/server.out" >>"$work/failed.log"
    fi
}

show() {
    python3 - "$work/load.json" <<'END'
import json, sys

run = json.load(open(sys.argv[1]))["runs"][0]
what = {"script": "conversations", "rounds": "rounds", "churn": "visits"}
what = what.get(run["workload"], "messages")
p50, p99 = (run["latency"][which] / 1000 for which in ("p50_us", "p99_us"))
line = f"{run['operations_per_second']:.0f} {what}/s"
line += f", p50 {p50:.2f} ms, p99 {p99:.2f} ms"
if run["handshakes"]:
    line += f"; {run['handshakes']} TLS handshakes, {run['resumed_handshakes']} of them resumed"
print("        " + line)
END
}

nothing() { :; }

redis() {
    launch nothing redis-server --port PORT --bind 127.0.0.1 --save '' --appendonly no --dir "$work"
    load "redis-server: script redis-ping" script redis-ping "tcp://127.0.0.1:$port"
    if have redis-benchmark; then
        local rate
        rate=$(redis-benchmark -h 127.0.0.1 -p "$port" -c 50 -n 100000 -t ping_mbulk --csv \
            2>>"$work/load.log" | tail -n 1 | cut -d, -f2 | tr -d '"')
        python3 - "$work/load.json" "$rate" <<'END'
import json, sys

rate = json.load(open(sys.argv[1]))["runs"][0]["operations_per_second"]
other = float(sys.argv[2])
print(f"        PINGs/s on 50 connections: shardload {rate:.0f}, redis-benchmark {other:.0f}")
END
    fi
    end "$pid"
}

make_exim() {
    mkdir -p "$work/exim"
    [ "$(id -u)" -ne 0 ] || chown Debian-exim "$work/exim"
    cat >"$work/exim.conf" <<END
spool_directory = $work/exim
log_file_path = $work/exim/%slog
pid_file_path = $work/exim/pid
log_selector = -all
primary_hostname = localhost
local_interfaces = <; [127.0.0.1]:$port
tls_advertise_hosts = *
tls_certificate = $work/localhost.pem
tls_privatekey = $work/localhost.key
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 0
queue_only = true
message_logs = false
acl_smtp_rcpt = take
acl_smtp_data = throw
begin acl
take:
  accept
throw:
  discard
END
}

exim() {
    launch make_exim exim4 -C "$work/exim.conf" -bdf
    load "exim: script smtp" script smtp "tcp://127.0.0.1:$port" --connections 10
    load "exim: script smtp behind STARTTLS" \
        script smtp "starttls+smtp://localhost:$port" --ca "$work/root.pem" --connections 10
    end "$pid"
}

make_prosody() {
    mkdir -p "$work/prosody" "$work/certs"
    # Its keys may be of root, and so must it be here: it changes its user only as a daemon.
    cat >"$work/prosody.cfg.lua" <<END
run_as_root = true
data_path = "$work/prosody"
modules_enabled = { "tls"; "saslauth" }
modules_disabled = { "s2s" }
interfaces = { "127.0.0.1" }
c2s_ports = { $port }
s2s_ports = { }
http_ports = { }
https_ports = { }
c2s_require_encryption = true
authentication = "internal_hashed"
log = { warn = "*console" }
VirtualHost "localhost"
    ssl = { certificate = "$work/localhost.pem"; key = "$work/localhost.key" }
END
}

prosody_server() {
    launch make_prosody prosody --config "$work/prosody.cfg.lua" -F
    load "Prosody: script xmpp" \
        script xmpp "tcp://127.0.0.1:$port" --sni localhost --connections 10
    load "Prosody: script xmpp behind STARTTLS" \
        script xmpp "starttls+xmpp://localhost:$port" --ca "$work/root.pem" --connections 10
    local status=0
    "$shardload" script xmpp "starttls+xmpp://127.0.0.1:$port" --sni other.example --quiet \
        --ca "$work/root.pem" --duration 1s 2>"$work/refused.txt" || status=$?
    [ "$status" -eq 3 ] && grep -q 'host-unknown' "$work/refused.txt" && status=0 || status=1
    report "Prosody: a domain that it does not serve ends with 3, in its own words" "$status"
    end "$pid"
}

make_ngircd() {
    cat >"$work/ngircd.conf" <<END
[Global]
Name = irc.localhost
Info = for a test
AdminEMail = nobody@localhost
Listen = 127.0.0.1
Ports = $port
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
END
}

irc() {
    launch make_ngircd ngircd --nodaemon --config "$work/ngircd.conf"
    load "ngircd: script irc" script irc "tcp://127.0.0.1:$port" --connections 10
    end "$pid"
}

make_nginx() {
    cat >"$work/nginx.conf" <<END
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 1024; }
stream {
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $work/localhost.pem;
        ssl_certificate_key $work/localhost.key;
        ssl_session_tickets on;
        proxy_pass 127.0.0.1:$echo;
    }
}
END
}

nginx_stream() {
    start "$shardload" serve --addr 127.0.0.1:0 --shards 1 --no-pin
    local echo=$port echo_pid=$pid
    launch make_nginx nginx -e "$work/nginx.log" -p "$work" -c "$work/nginx.conf"
    local target=(--ca "$work/root.pem" "tls://localhost:$port")
    load "nginx: echo over TLS" echo "${target[@]}"
    load "nginx: echo over TLS 1.2, at a rate" echo "${target[@]}" --tls-version 1.2 --rate 500
    load "nginx: churn over TLS" churn "${target[@]}" --size 64 --connections 4
    end "$pid"
    pid=$echo_pid
    stops "the server behind nginx ends on SIGTERM with 0"
}

proxies() {
    start "$shardload" serve --addr 127.0.0.1:0 --shards 1 --no-pin
    local plain=$port plain_pid=$pid
    start "$shardload" serve --addr 127.0.0.1:0 --shards 1 --no-pin --expect-proxy 127.0.0.0/8
    local expecting=$port expecting_pid=$pid
    cat >"$work/haproxy.template" <<END
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend accepting
    bind fd@accepting accept-proxy
    default_backend plain
backend plain
    server one 127.0.0.1:$plain
frontend telling_v1
    bind fd@telling_v1
    default_backend v1
backend v1
    server one 127.0.0.1:$expecting send-proxy
frontend telling_v2
    bind fd@telling_v2
    default_backend v2
backend v2
    server one 127.0.0.1:$expecting send-proxy-v2
END
    start python3 scripts/peer_haproxy.py "$work/haproxy.template" "$work/haproxy.cfg" "$work/ports"
    local haproxy_pid=$pid version
    port_of() { sed -n "s/^$1=//p" "$work/ports"; }
    for version in v1 v2; do
        load "HAProxy, accept-proxy: echo with --proxy $version" \
            echo "tcp://127.0.0.1:$(port_of accepting)" --proxy "$version"
        load "HAProxy, send-proxy: $version to serve --expect-proxy" \
            echo "tcp://127.0.0.1:$(port_of "telling_$version")"
    done
    load "serve --expect-proxy: churn with --proxy v2 and many sources" \
        churn "tcp://127.0.0.1:$expecting" --proxy v2 --source 127.0.0.2-127.0.0.9 --size 64
    # HAProxy's children end with it.
    kill -KILL "$haproxy_pid"
    waited "$haproxy_pid"
    for pid in "$plain_pid" "$expecting_pid"; do
        stops "a server beside HAProxy ends on SIGTERM with 0"
    done
}

if have python3 && have openssl; then
    have redis-server && redis
    have exim4 && exim
    have prosody && prosody_server
    have ngircd && irc
    have nginx && nginx_stream
    have haproxy && proxies
fi

ends peers-shardload
