#!/usr/bin/env bash
# The whole method on a miniature corpus of made-up speech, in a few minutes on a CPU:
# sets up the environment, writes the corpus, and runs IEMOCAP's recipe on it (both
# stages, five folds) with the tiny HuBERT of the tree. Needs no data and no GPU. For
# Table 1, tiny untrained wav2vec 2.0, Whisper and BERT are written, too.
#     bash recipes/quickstart.sh             one experiment: hubert_ecapa
#     bash recipes/quickstart.sh --table1    all eleven of Morais et al., Table 1, and three more
#     bash recipes/quickstart.sh --real      one fold of RAVDESS on a frozen Whisper
#     bash recipes/quickstart.sh --page      try the model in the tree in the browser
# --real downloads RAVDESS (208 MB) and openai/whisper-tiny.en (151 MB), or uses the
# folders given with --data_folder and --whisper_source. It also exports the model and
# classifies a recording of a speaker who was not trained on.
# Further options are passed on to train.py, table1.py or the page, for example --seed 2.
set -euo pipefail

# Prints a path as seen from anywhere; a name on the hub stays as it is.
absolute() {
    if [ -e "$1" ]; then realpath "$1"; else echo "$1"; fi
}

kind=miniature
data_folder=""
whisper_source=openai/whisper-tiny.en
options=()
while [ $# -gt 0 ]; do
    case "$1" in
        --real) kind=real ;;
        --table1) kind=table1 ;;
        --page) kind=page ;;
        --data_folder) shift; data_folder="$(realpath -m "${1:-}")" ;;
        --data_folder=*) data_folder="$(realpath -m "${1#*=}")" ;;
        --whisper_source) shift; whisper_source="$(absolute "${1:-}")" ;;
        --whisper_source=*) whisper_source="$(absolute "${1#*=}")" ;;
        *) options+=("$1") ;;
    esac
    [ $# -eq 0 ] || shift
done
if [ "$kind" != real ] && [ -n "$data_folder" ]; then
    echo "--data_folder is for --real: the miniature corpus is written anew." >&2
    exit 2
fi

extras=""
[ "$kind" != page ] || extras=demo
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" "$extras"
folder="results/quickstart"

if [ "$kind" = page ]; then
    exec python -m ser_lib.demo "$root/pretrained/ser_whisper_tiny" "${options[@]}"
fi

if [ "$kind" = real ]; then
    cd "$root/recipes/RAVDESS"
    data_folder="${data_folder:-$PWD/$folder/RAVDESS}"
    python train.py hparams/whisper_frozen.yaml --folds 1 --data_folder "$data_folder" \
        --whisper_source "$whisper_source" --results_folder "$folder" \
        --output_folder "$folder/run" --export_to "$folder/model" "${options[@]}"
    recording="$(python -c 'import csv, sys; print(next(csv.DictReader(open(sys.argv[1])))["path"])' \
        "$folder/run/fold_1/test.csv")"
    echo "This is one of six folds, real speech of actors who were not trained on, and a"
    echo "frozen encoder that was trained with transcripts. The model is in"
    echo "recipes/RAVDESS/$folder/model. A recording of a test speaker:"
    python -m ser_lib.predict "$folder/model" "$data_folder/$recording"
    exit
fi

cd "$root/recipes/IEMOCAP"
python -m ser_lib.synthetic.iemocap "$folder/IEMOCAP_miniature"
data=(--data_folder "$folder/IEMOCAP_miniature")
data+=(--hubert_source "$root/pretrained/hubert_tiny")

if [ "$kind" = miniature ]; then
    python train.py hparams/quickstart.yaml "${data[@]}" --results_folder "$folder" \
        "${options[@]}"
    exit
fi
# The folds come first: the words of their transcripts make BERT's vocabulary.
python train.py hparams/quickstart.yaml "${data[@]}" --prepare_only True \
    --results_folder "$folder" --output_folder "$folder/prepared"
python -m ser_lib.synthetic.encoders wav2vec2 "$folder/w2v2_tiny"
python -m ser_lib.synthetic.encoders whisper "$folder/whisper_tiny"
python -m ser_lib.synthetic.encoders bert "$folder/bert_tiny" "$folder/prepared/fold_1/train.csv"
python table1.py --changes miniature.yaml "${data[@]}" \
    --w2v2_source "$folder/w2v2_tiny" --bert_source "$folder/bert_tiny" \
    --whisper_source "$folder/whisper_tiny" --results_folder "$folder" "${options[@]}"
