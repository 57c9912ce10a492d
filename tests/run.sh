#!/usr/bin/env bash
# Lint, the import contract and all tests; with --fast, without those marked slow. Other
# options are passed on to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/environment.sh" \
    demo,serve,vad,listen,onnx,lora,audformat,ray,slurm tests/requirements.txt
bash "$root/tests/install_browser.sh"

lane=()
if [ "${1:-}" = --fast ]; then
    lane=(-m "not slow")
    shift
fi

cd "$root"
ruff check .
ruff format --check .
yamllint --strict recipes
codespell
lint-imports
python -m pytest --numprocesses 2 --dist loadfile "${lane[@]}" "$@"
