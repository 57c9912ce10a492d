#!/usr/bin/env bash
# Lint and the whole test suite. Options are passed on to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/environment.sh" \
    requirements.txt tests/requirements.txt

cd "$root"
ruff check .
ruff format --check .
yamllint --strict recipes
codespell
python -m pytest --numprocesses 2 --dist loadfile "$@"
