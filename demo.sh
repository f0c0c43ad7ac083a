#!/bin/sh
# Installs what is missing, builds the demo and runs it: every format on the weights of a trained
# model. Arguments go to the demo: ./demo.sh --help, ./demo.sh model.safetensors
set -eu
here=$(dirname "$0")
"$here/setup.sh"
[ -f "$here/build/build.ninja" ] || meson setup "$here/build" "$here"
ninja -C "$here/build" examples/compare_formats
exec "$here/build/examples/compare_formats" "$@"
