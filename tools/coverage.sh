#!/bin/sh
# Branches that the unit tests and the fuzzers' corpora reach: coverage.sh BUILD_DIR [FILTER...], by file; then every layer
# as a whole. Wire and replay code is held to 100 %: without FILTER the status is 1 where a branch of theirs was not taken.
set -eu
cd "$(dirname "$0")/.."
build=$1
shift
# Branches that the compiler makes for what cannot happen are none of ours.
report() { gcovr -r . "$build" --branches --exclude-unreachable-branches --exclude-throw-branches "$@"; }

if [ $# -gt 0 ]; then
	for filter in "$@"; do set -- "$@" -f "$filter"; shift; done
	report "$@"
	exit
fi
for layer in base crypto wire core app lib cli; do
	report -f "src/$layer/" 2>/dev/null | awk -v layer=$layer '/^TOTAL/ { print layer ": " $4 " of branches" }'
done
report -f src/wire/ -f src/core/replay.c --fail-under-branch 100
