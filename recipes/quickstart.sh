#!/usr/bin/env bash
# The whole method on a miniature corpus of made-up speech, in a few minutes on a CPU:
# sets up the environment, writes the corpus, and runs IEMOCAP's recipe on it (both
# stages, five folds) with the tiny HuBERT of the tree. Needs no data and no GPU. For
# Table 1, tiny untrained wav2vec 2.0 and BERT are written, too.
#     bash recipes/quickstart.sh             one experiment: hubert_ecapa
#     bash recipes/quickstart.sh --table1    all eleven of Morais et al., Table 1
# Further options are passed on to train.py or table1.py, for example --seed 2.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt

cd "$root/recipes/IEMOCAP"
folder="results/quickstart"
python -m ser_lib.synthetic.iemocap "$folder/IEMOCAP_miniature"
data=(--data_folder "$folder/IEMOCAP_miniature")
data+=(--hubert_source "$root/pretrained/hubert_tiny")

if [ "${1:-}" != --table1 ]; then
    python train.py hparams/quickstart.yaml "${data[@]}" --results_folder "$folder" "$@"
    exit
fi
shift
# The folds come first: the words of their transcripts make BERT's vocabulary.
python train.py hparams/quickstart.yaml "${data[@]}" --prepare_only True \
    --results_folder "$folder" --output_folder "$folder/prepared"
python -m ser_lib.synthetic.encoders wav2vec2 "$folder/w2v2_tiny"
python -m ser_lib.synthetic.encoders bert "$folder/bert_tiny" "$folder/prepared/fold_1/train.csv"
python table1.py --changes miniature.yaml "${data[@]}" \
    --w2v2_source "$folder/w2v2_tiny" --bert_source "$folder/bert_tiny" \
    --results_folder "$folder" "$@"
