#!/usr/bin/env bash
# One load from several machines, played on one: three network namespaces, a server in the first
# and a generator in each of the others, all on one bridge. Both begin at the same time (--start-at),
# each does its share (--instance), and `shardload merge` adds their histograms: every message is
# counted once, and the percentiles are those of all.
#
#   server 10.77.0.1 ──┬── bridge ──┬── one 10.77.0.2: shardload echo --instance 1/2
#                                   └── two 10.77.0.3: shardload echo --instance 2/2
#
# One of the machines is then given few ports, to show what is said of a load that needs more.
#
# It needs root, for the namespaces; without it is skipped, and said so; with REQUIRE_PEERS=1 that is
# a failure. The program: $SHARDLOAD, else target/debug/shardload.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/peers-common.sh
source scripts/peers-common.sh

shardload=$(program SHARDLOAD debug/shardload -p shardpoll-bench --bin shardload)
for tool in ip python3; do
    have "$tool" || { ends several-machines; exit; }
done

# Namespaces of this run only.
net=shardload-$$
cleared() {
    finish
    for name in server one two; do
        ip netns delete "$net-$name" 2>/dev/null || true
    done
}
trap cleared EXIT

if ! ip netns add "$net-server" 2>"$work/netns.log"; then
    if [ "$require" = 1 ]; then
        report "network namespaces: $(cat "$work/netns.log")" 1
    else
        echo "skipped network namespaces need root: $(cat "$work/netns.log")"
    fi
    ends several-machines
    exit
fi
on() { # NAME COMMAND...: on that machine
    local name=$1
    shift
    ip netns exec "$net-$name" "$@"
}

on server ip link add bridge type bridge
on server ip address add 10.77.0.1/24 dev bridge
on server ip link set bridge up
host=2
for name in one two; do
    ip netns add "$net-$name"
    on server ip link add "to-$name" type veth peer name wire netns "$net-$name"
    on server ip link set "to-$name" master bridge up
    on "$name" ip address add "10.77.0.$host/24" dev wire
    on "$name" ip link set wire up
    host=$((host + 1))
done

start ip netns exec "$net-server" "$shardload" serve --addr 10.77.0.1:0 --shards 1
target=tcp://10.77.0.1:$port

# Far enough ahead for both to be ready.
at=$(($(date +%s) + 3))
declare -A generators=()
number=1
for name in one two; do
    on "$name" "$shardload" echo "$target" --connections 5 --rate 3000 --duration 2s \
        --start-at "$at" --instance "$number/2" --hdr-out "$work/$number.hlog" --quiet --json \
        >"$work/$number.json" 2>"$work/$number.log" &
    generators[$name]=$!
    started[$!]=1
    number=$((number + 1))
done
for name in one two; do
    waited "${generators[$name]}"
    report "generator $name ends with 0" "$status"
done

# With few ports, what cannot be done is refused before it is begun, with what helps; and that helps.
on one sysctl -q -w net.ipv4.ip_local_port_range="40000 40099"
for host in 12 22; do
    on one ip address add "10.77.0.$host/24" dev wire
done
refuses() { # NAME SAYS OPTIONS...
    local name=$1 says=$2 code=0
    shift 2
    on one "$shardload" "$@" --quiet >"$work/refused.log" 2>&1 || code=$?
    if [ "$code" -eq 2 ] && [[ $(<"$work/refused.log") == *$says* ]]; then
        report "$name" 0
    else
        report "$name" 1
    fi
}
refuses "150 connections from 100 ports are refused" "can have 100 from one address" \
    echo "$target" --connections 150
refuses "visits that leave their ports for a minute are refused" "net.ipv4.tcp_tw_reuse=1" \
    churn "$target" --connections 5 --rate 50 --duration 5s
helps=0
on one "$shardload" echo "$target" --connections 150 --source 10.77.0.2,10.77.0.12 --duration 200ms \
    --assert 'errors==0' --quiet >"$work/helps.log" 2>&1 || helps=$?
report "150 connections from twice 100 ports are made" "$helps"
# A port serves for one connection to each server, also from a source that was named.
first=$pid
start ip netns exec "$net-server" "$shardload" serve --addr 10.77.0.1:0 --shards 1
twice=0
on one "$shardload" echo "$target" "tcp://10.77.0.1:$port" --connections 150 --source 10.77.0.22 \
    --duration 200ms --assert 'errors==0' --quiet >"$work/twice.log" 2>&1 || twice=$?
report "75 connections to each of two servers are made from 100 ports of one address" "$twice"
stops "the second server ends in order"
pid=$first
refuses "what rests from before is reckoned with" "75 taken or resting in TIME_WAIT" \
    echo "$target" --connections 30 --source 10.77.0.22
# A closed loop has no rate to be foreseen.
code=0
on one "$shardload" churn "$target" --connections 5 --duration 1s --quiet >"$work/closed.log" 2>&1 || code=$?
[[ $code -eq 1 && $(<"$work/closed.log") == *"no port is left"*--source* ]] && told=0 || told=1
report "a closed loop that runs out of ports says what helps" "$told"
stops "the server ends in order"

merged=0
"$shardload" merge "$work/1.hlog" "$work/2.hlog" --hdr-out "$work/all.hlog" --json \
    >"$work/merged.json" 2>"$work/merge.log" || merged=$?
report "merge ends with 0" "$merged"
# What it has written holds all of it.
"$shardload" merge "$work/all.hlog" --json >"$work/again.json" 2>>"$work/merge.log" || true

agrees=0
python3 - "$work" "$at" >"$work/agrees.log" 2>&1 <<'END' || agrees=$?
import datetime, json, pathlib, sys

work, at = pathlib.Path(sys.argv[1]), int(sys.argv[2])
documents = [json.loads((work / f"{number}.json").read_text()) for number in (1, 2)]
merged = json.loads((work / "merged.json").read_text())
runs = [document["runs"][0] for document in documents]
for one in [*runs, merged]:
    print({name: value for name, value in one.items() if name != "intervals"})
assert sorted(run["connections"] for run in runs) == [2, 3]
assert sum(run["asked_per_second"] for run in runs) == 3000
for document in documents:
    began = datetime.datetime.fromisoformat(document["started"].replace("Z", "+00:00")).timestamp()
    assert at <= began < at + 1, f"{document['started']} is not at {at}"
assert merged["skew_seconds"] < 1
for run, log in zip(runs, merged["logs"]):
    assert run["errors"]["total"] == run["errors"]["lost"] == 0, run["first_error"]
    assert log["count"] == run["latency"]["count"] == run["operations"] > 0
for kind in ("latency", "uncorrected"):
    each, together = [run[kind] for run in runs], merged[kind]
    assert together["count"] == sum(one["count"] for one in each)
    assert together["min_us"] == min(one["min_us"] for one in each)
    assert together["max_us"] == max(one["max_us"] for one in each)
    for percentile in ("p50_us", "p99_us", "p99_9_us"):
        between = sorted(one[percentile] for one in each)
        assert between[0] <= together[percentile] <= between[1], (kind, percentile, between)
assert merged["latency"] == json.loads((work / "again.json").read_text())["latency"]
END
report "both began at the time and did their shares; merged, nothing is lost or counted twice" "$agrees"
ends several-machines
