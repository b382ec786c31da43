#!/usr/bin/env bash
set -euo pipefail
printf 'the cat sat on the mat.\n%.0s' {1..500} > cats.txt
unrolled train language cats.txt --cell rnn --embedding 16 --hidden 32 --layers 1 --steps 20 --batch 8 --length 25 --out net
unrolled graph net --steps 4 --out unrolled-graph.svg
