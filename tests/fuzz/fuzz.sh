#!/bin/sh
# fuzz.sh PROGRAM FOUND CORPUS [OPTION...]: replays CORPUS, then fuzzes for ten seconds; inputs that
# reach new code are kept in FOUND.
set -eu
program=$1 found=$2 corpus=$3
shift 3
mkdir -p "$found"
exec "$program" -seed=1 -max_total_time=10 -rss_limit_mb=2000 "$@" "$found" "$corpus"
