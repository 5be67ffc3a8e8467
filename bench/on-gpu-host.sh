#!/bin/sh
# Every result of a GPU, from the unpacked bundle: bench/on-gpu-host.sh RESULTS [PYTHON]
#
# Writes RESULTS/<gpu>/<date>-*.json, torch timed beside each row where PYTHON (default python3) has it, and ends with the
# sanitizer's tools. Takes about five minutes on an H100; a step that fails doesn't keep the next from running.
results=${1:?usage: on-gpu-host.sh RESULTS [PYTHON]}
python=${2:-python3}
warpbook=$(cd "$(dirname "$0")/.." && pwd)/warpbook
failed=0
step() {
  echo "== $*"
  "$@" || { echo "-- failed with $?"; failed=1; }
}

torch=
"$python" -c 'import torch; torch.zeros(1, device="cuda")' 2>/dev/null && torch="--torch $python"
[ -n "$torch" ] || echo "no torch with a GPU in $python: its columns are missing"

# shellcheck disable=SC2086
step "$warpbook" bench decode --device cuda --seconds 1 $torch --out "$results"
step "$warpbook" bench decode --device cuda --seconds 0.5 --set shapes --out "$results"
step "$warpbook" bench decode --device cuda --seconds 0.5 --layout HND --name decode-hnd --out "$results"
# shellcheck disable=SC2086
step "$warpbook" bench prefill --device cuda --seconds 1 --pause 250 $torch --out "$results"
step "$warpbook" bench plan --device cuda --seconds 1 --out "$results"
step "$warpbook" bench trace --device cuda --out "$results"
step "$warpbook" sanitize all --out "$results/sanitize"
exit $failed
