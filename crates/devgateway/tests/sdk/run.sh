#!/usr/bin/env bash
# Runs the official SDKs against the development gateway, each in the dialect it speaks.
#
# Usage: run.sh [BINARY]. Builds the gateway when no binary is given. Virtual environments are
# kept in $SALVOR_SDK_VENVS (default: target/sdk-venvs), so that a second run needs no network.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
binary=${1:-}
venvs=${SALVOR_SDK_VENVS:-$target/sdk-venvs}

if [[ -z $binary ]]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p salvor-devgateway
    binary=$target/debug/salvor-devgateway
fi

check() {
    local dialect=$1 sdk=$2 venv=$venvs/$2 work address
    if [[ ! -e $venv/complete ]]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "openshell==$sdk"
        touch "$venv/complete"
    fi
    work=$(mktemp -d)
    "$binary" --listen 127.0.0.1:0 --data-dir "$work/data" --dialect "$dialect" \
        --time-scale 0.05 >"$work/out" 2>"$work/err" &
    local gateway=$!
    # shellcheck disable=SC2064
    trap "kill $gateway 2>/dev/null || true; rm -rf '$work'" EXIT
    for _ in $(seq 100); do
        address=$(sed -n 's#^listening on http://##p' "$work/out")
        [[ -n $address ]] && break
        sleep 0.1
    done
    if [[ -z $address ]]; then
        echo "the gateway did not start:" >&2
        cat "$work/err" >&2
        return 1
    fi
    echo "== openshell $sdk against dialect $dialect"
    "$venv/bin/python" "$here/run.py" "$address" "$dialect"
    kill "$gateway"
    wait "$gateway"
    trap - EXIT
    rm -rf "$work"
}

check 0.0 0.0.116
check 0.1 0.1.5
echo "both SDKs work"
