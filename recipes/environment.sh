# Sourced by quickstart.sh and tests/run.sh: activates an environment that holds this
# checkout's ser_lib with the extras of pyproject.toml given as the first argument
# ("demo,vad", or ""), and what the requirements files given after it pin. It uses the
# active virtual environment, or makes .venv at the root. What is installed is skipped
# the next time.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

stop() {
    echo "$1" >&2
    exit 2
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -z "${VIRTUAL_ENV:-}" ]; then
    if [ ! -f "$root/.venv/bin/activate" ]; then
        is_new_enough python3 || stop "python3 is not there or older than 3.11. Install \
Python 3.11 or later, or activate a virtual environment that has it."
        python3 -m venv "$root/.venv" || stop "Cannot make the virtual environment \
$root/.venv, see above. Or make one elsewhere and activate it."
    fi
    source "$root/.venv/bin/activate"
fi
is_new_enough python || stop "The Python of $VIRTUAL_ENV is not there or older than \
3.11. Deactivate it, or remove it and make it again with Python 3.11 or later."

extras="$1"
files=("${@:2}")
requirements=()
for file in "${files[@]}"; do requirements+=(-r "$root/$file"); done
wanted="$root $(cd "$root" && cat pyproject.toml requirements.txt "${files[@]}" | cksum)"
stamp="$VIRTUAL_ENV/ser_lib-$(echo "$*" | cksum | cut -d' ' -f1).installed"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing the pinned packages into $VIRTUAL_ENV (a few minutes, 5 GB) ..."
    python -m pip install --quiet "${requirements[@]}" --editable "$root${extras:+[$extras]}" ||
        stop "The packages could not be installed, see above. The same command tries again."
    echo "$wanted" > "$stamp"
fi
