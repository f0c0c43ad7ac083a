#!/bin/sh
# fuzz.sh PROGRAM FOUND CORPUS [OPTION...]: replays CORPUS, where there is one, and fuzzes for ten
# seconds. Inputs that reach new code are kept in FOUND, which CORPUS never is.
set -eu
program=$(realpath "$1") found=$2 corpus=$3
shift 3
mkdir -p "$found"
[ -d "$corpus" ] || corpus=
cd "$found"
exec "$program" -seed=1 -max_total_time=10 -rss_limit_mb=2000 "$@" "$found" ${corpus:+"$corpus"}
