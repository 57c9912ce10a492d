# Sourced by quickstart.sh and tests/run.sh: activates an environment that holds what
# the requirements files given as arguments pin, and this checkout's ser_lib. It uses
# the active virtual environment, or makes .venv at the root. What is installed is
# skipped the next time.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

if [ -z "${VIRTUAL_ENV:-}" ]; then
    [ -f "$root/.venv/bin/activate" ] || python3 -m venv "$root/.venv"
    source "$root/.venv/bin/activate"
fi

requirements=()
for file in "$@"; do requirements+=(-r "$root/$file"); done
wanted="$root $(cd "$root" && cat pyproject.toml "$@" | cksum)"
stamp="$VIRTUAL_ENV/ser_lib-$(echo "$*" | cksum | cut -d' ' -f1).installed"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing the pinned packages into $VIRTUAL_ENV (a few minutes, 5 GB) ..."
    python -m pip install --quiet "${requirements[@]}" --editable "$root"
    echo "$wanted" > "$stamp"
fi
