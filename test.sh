#!/bin/sh
# Installs what is missing, builds everything into build/ and runs the tests. The last line counts
# them. Options are Meson's: ./test.sh -Dslow=true -Db_sanitize=address,undefined
set -eu
cd "$(dirname "$0")"
./setup.sh

if [ -f build/build.ninja ]; then
  meson setup --reconfigure build -Dtests=enabled -Dexamples=enabled "$@"
else
  meson setup build -Dtests=enabled -Dexamples=enabled "$@"
fi
rm -f build/meson-logs/testlog.json
status=0
meson test -C build --print-errorlogs || status=$?
python3 tests/count_results.py build/meson-logs/testlog.json || status=1
exit $status
