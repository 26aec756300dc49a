# Shared by the scripts of this folder; to be sourced. Everything is bounded in time, and `cleanup` ends what was started.
#
# Binaries are those that `cargo build --workspace` left in the debug folder; nothing is built here.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
[[ $target == /* ]] || target=$PWD/$target
bin=$target/debug
started=()
export PYTHONDONTWRITEBYTECODE=1

say() { printf '\n== %s\n' "$*"; }

die() {
    printf 'FAILED %s\n' "$*" >&2
    exit 1
}

# need BINARY...: the binaries are there.
need() {
    local name
    for name in "$@"; do
        [[ -x $bin/$name ]] || die "$bin/$name is not there: run cargo build --workspace first"
    done
}

# venv DIRECTORY PACKAGE...: a virtual environment with these packages, made once.
venv() {
    local directory=$1
    shift
    local wanted="$*"
    if [[ $(cat "$directory/complete" 2>/dev/null) != "$wanted" ]]; then
        rm -rf "$directory"
        python3 -m venv "$directory"
        timeout 300 "$directory/bin/pip" install --quiet --disable-pip-version-check "$@"
        printf '%s\n' "$wanted" >"$directory/complete"
    fi
}

# package NAME...: installs Debian packages; none of their services is started.
package() {
    local install=(apt-get install -y --no-install-recommends "$@")
    RUNLEVEL=1 "${install[@]}" || { apt-get update && RUNLEVEL=1 "${install[@]}"; }
}

# free_ports COUNT: that many free loopback ports, one a line.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print("\n".join(str(each.getsockname()[1]) for each in held))
PYTHON
}

# start LOG COMMAND...: runs a process in the background; `stop_all` ends it.
start() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 &
    started+=($!)
}

# stop_all: ends what `start` started, in an orderly way if that takes less than 10 seconds.
stop_all() {
    local pid
    ((${#started[@]})) || return 0
    kill "${started[@]}" 2>/dev/null || true
    for pid in "${started[@]}"; do
        timeout 10 tail --pid="$pid" -f /dev/null || kill -9 "$pid" 2>/dev/null || true
    done
    wait "${started[@]}" 2>/dev/null || true
    started=()
}
