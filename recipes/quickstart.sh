#!/usr/bin/env bash
# The whole method on a miniature corpus of made-up speech, in a few minutes on a CPU:
# sets up the environment, writes the corpus and a tiny untrained HuBERT, and runs
# IEMOCAP's recipe on them (both stages, five folds). Needs no data and no GPU.
# Options are passed on to train.py, for example: bash recipes/quickstart.sh --seed 2
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt

cd "$root/recipes/IEMOCAP"
folder="results/quickstart"
python -m ser_lib.synthetic "$folder/IEMOCAP_miniature"
python -m ser_lib.tiny_models hubert "$folder/hubert_tiny"
python train.py hparams/quickstart.yaml \
    --data_folder "$folder/IEMOCAP_miniature" \
    --hubert_source "$folder/hubert_tiny" \
    --results_folder "$folder" "$@"
