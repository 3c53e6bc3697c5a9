#!/usr/bin/env bash
# Shows that `simulate` finds bugs (with `--shards` those named shards_*), and `mutate` those named
# tls_*: plants each of tests/planted/*.patch in a copy of the tree and plays fresh seeds until a
# promise is broken.
#
#   scripts/planted.sh [NAME...]     only patches whose names contain one of these
#   SEEDS=2000                       how many seeds a bug has to be caught within
#   PLANTED_TARGET=DIR               a build directory to keep; else one inside the copy
#
# Exit 0 when each bug was caught and the tree without them was not accused; 1 when not.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${SEEDS:-2000}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

tar --exclude=./target --exclude=./.git -cf - . | tar -xmf - -C "$copy"
export CARGO_TARGET_DIR=${PLANTED_TARGET:-$copy/target} CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0
patches=$PWD/tests/planted
cd "$copy"

build() { cargo build -q -p shardpoll-tests --bin simulate --bin mutate 2>"$copy/build.log"; }
play() { # simulate, shards or mutate
    case $1 in
        shards) timeout 300 "$CARGO_TARGET_DIR/debug/simulate" --shards 4 --seeds "$seeds" 2>/dev/null ;;
        *) timeout 300 "$CARGO_TARGET_DIR/debug/$1" --seeds "$seeds" 2>/dev/null ;;
    esac
}

build || { cat "$copy/build.log"; exit 1; }
for player in simulate shards mutate; do
    if ! play "$player" >"$copy/report"; then
        echo "FALSE ALARM  in the tree without planted bugs, by $player"
        tail -n 3 "$copy/report"
        exit 1
    fi
done
echo "quiet    $seeds seeds of the tree as it is"

bad=0
total=0
fail() { bad=$((bad + 1)); echo "$1 $2"; }
for patch in "$patches"/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ] && ! printf '%s\n' "$@" | { while read -r word; do
        case $name in *"$word"*) exit 0 ;; esac
    done; exit 1; }; then
        continue
    fi
    total=$((total + 1))
    case $name in tls_*) player=mutate ;; shards_*) player=shards ;; *) player=simulate ;; esac
    if ! patch -p1 -s -F0 --dry-run <"$patch" >/dev/null; then
        fail "DOES NOT APPLY" "$name: the code has changed, tests/planted/$name.patch must follow"
        continue
    fi
    patch -p1 -s -F0 --no-backup-if-mismatch <"$patch" >/dev/null
    outcome=0
    if ! build; then
        fail "DOES NOT BUILD" "$name"
        grep -m 3 -A 4 '^error' "$copy/build.log" || true
    else
        play "$player" >"$copy/report" || outcome=$?
        case $outcome in
            1) echo "caught   $name: after $(awk '/^(seeds|cases)/ { print $2 + 1 }' "$copy/report") seeds:" \
                "$(sed -n 's/^violation in //p' "$copy/report")" ;;
            0) fail ESCAPED "$name: $seeds seeds were quiet" ;;
            124) fail HUNG "$name: a world did not end" ;;
            *) fail DIED "$name: exit $outcome" ;;
        esac
    fi
    patch -p1 -s -R -F2 --no-backup-if-mismatch <"$patch" >/dev/null
done
echo "$((total - bad)) of $total planted bugs caught within $seeds seeds"
[ "$bad" -eq 0 ] && [ "$total" -gt 0 ]
