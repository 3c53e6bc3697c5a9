#!/usr/bin/env bash
# Installs what `versus` measures this engine beside and counts with, and builds the C peers into
# `peers` below cargo's target folder, where `versus` looks for them. May be run again at any time.
# Debian; installing needs root. What is installed already is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(gcc libc6-dev libuv1-dev libevent-dev pkg-config haproxy nginx libnginx-mod-stream strace
    valgrind)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' \
        || missing+=("$package")
done
if ((${#missing[@]})); then
    echo "installing ${missing[*]}"
    apt-get update -qq
    # A proxy that is installed is a service to Debian; here it is a program, and is not started.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
fi

target=${CARGO_TARGET_DIR:-target}/peers
mkdir -p "$target"
# NAME PKG-CONFIG-NAME
while read -r name library; do
    read -ra flags <<<"$(pkg-config --cflags --libs "$library")"
    gcc -std=gnu11 -O3 -Wall -Wextra -Werror -o "$target/$name" "bench/peers/$name.c" \
        "${flags[@]}"
    echo "$target/$name: $library $(pkg-config --modversion "$library")"
done <<'END'
libuv libuv
libevent libevent
END
