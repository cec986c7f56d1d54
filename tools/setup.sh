#!/bin/sh
# What set-up needs from outside pip, one step a call:
#
#   setup.sh venv PYTHON DIR            make a virtual environment
#   setup.sh packages COMMAND:PACKAGE…  install the system's packages whose commands are missing
#   setup.sh log-checker GO             build the outside tlog-tiles checker that the tests run
#   setup.sh engine TALLY               build the distributed engine, which validators run
#
# Rules: a virtual environment is a must, so its failure stops make. The rest only some tests need: where it cannot be
# installed, this says what to type and goes on, and the tests in question then fail by naming the same command.
set -eu

# A version, not "latest": what the tests accept must not change under them.
TESSERA=github.com/transparency-dev/tessera/cmd/fsck@v1.0.4

# apt_install PACKAGE…: install as root, or where sudo asks no password; otherwise fail without asking anything.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then
        as_root=env
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n env"
    else
        return 1
    fi
    # Package lists may be absent or old on a fresh machine: refresh them only when the first try fails.
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 ||
        { $as_root DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null &&
            $as_root DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null; }
}

make_venv() {
    python=$1 dir=$2
    if ! command -v "$python" >/dev/null 2>&1; then
        echo "setup: there is no $python; type: sudo apt-get install python3 python3-venv" >&2
        exit 1
    fi
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "setup: $("$python" --version) is too old, 3.11 or newer is needed; type: make PYTHON=python3.11" >&2
        exit 1
    fi
    # Debian keeps ensurepip in a package of its own; without it, -m venv leaves a half-made folder behind.
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        if ! apt_install "$version-venv"; then
            echo "setup: Python has no venv; type: sudo apt-get install $version-venv" >&2
            exit 1
        fi
    fi
    rm -rf "$dir"
    "$python" -m venv "$dir"
}

install_packages() {
    missing=""
    for pair in "$@"; do
        # iproute2's `ip` lives in sbin, which is not on every user's PATH.
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
    done
    [ -n "$missing" ] || return 0
    echo "setup: installing$missing"
    # shellcheck disable=SC2086 # a list of package names
    apt_install $missing || echo "setup: could not install them; type: sudo apt-get install$missing" >&2
}

build_log_checker() {
    go=$1
    bin="${XDG_CACHE_HOME:-$HOME/.cache}/tallystick/bin"
    # Named by its version, so that another version is built anew.
    target="$bin/tessera-fsck-${TESSERA##*@}"
    [ -x "$target" ] && return 0
    echo "setup: building the tlog-tiles checker (once)"
    mkdir -p "$bin"
    scratch=$(mktemp -d "$bin/build.XXXXXX")
    # CGO off: no C compiler is needed. GOTOOLCHAIN=local: never fetch another Go.
    if GOBIN="$scratch" CGO_ENABLED=0 GOTOOLCHAIN=local "$go" install -trimpath -ldflags '-s -w' "$TESSERA"; then
        mv "$scratch/fsck" "$target"
    else
        echo "setup: could not build it; type: make components" >&2
    fi
    rm -rf "$scratch"
}

build_engine() {
    tally=$1
    "$tally" engine show --json | grep -q '"path": null' || return 0
    echo "setup: building the distributed engine (once; a minute or two)"
    "$tally" engine install >/dev/null || echo "setup: could not build it; type: tally engine install" >&2
}

step=$1
shift
case $step in
    venv) make_venv "$@" ;;
    packages) install_packages "$@" ;;
    log-checker) build_log_checker "$@" ;;
    engine) build_engine "$@" ;;
    *)
        echo "setup: unknown step $step" >&2
        exit 2
        ;;
esac
