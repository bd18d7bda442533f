#!/usr/bin/env bash
# Reptile from the shell: trained, or resumed, and tested; no second derivative, no query set.
#
#     bash reptile.sh [data folder] [output folder] [options of `fewstep train course-5w1s-reptile`]
#
# To try it in seconds: --updates 2 --net.filters 4 --evaluation.tasks 20 --training.validation-tasks 4
set -euo pipefail

data=() out=runs
if [[ $# -gt 0 && $1 != -* ]]; then data=(--data-root "$1"); shift; fi
if [[ $# -gt 0 && $1 != -* ]]; then out=$1; shift; fi

# The first line that comes out is `62.50 ± 9.49 % (95 % CI, ...)`; the test bar goes to the terminal beside it.
fewstep train course-5w1s-reptile --resume ${data[@]+"${data[@]}"} --out "$out/course-5w1s-reptile" "$@" |
    awk '{ print } NR == 1 { found = $1 ~ /^[0-9.]+$/; accuracy = $1 / 100 }
        END { if (found) printf "Testing accuracy: %.3f\n", accuracy }'
