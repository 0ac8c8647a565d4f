#!/bin/sh
# Runs the fuzzers one after the other: fuzz.sh BUILD_DIR SECONDS [TARGET...]. What they find stays in BUILD_DIR/corpus.
set -eu
cd "$(dirname "$0")/../.."
build=$1
seconds=$2
shift 2
if [ $# -eq 0 ]; then
	for program in "$build"/tests/fuzz/fuzz_*; do
		[ -x "$program" ] && [ -f "$program" ] && set -- "$@" "${program##*/fuzz_}"
	done
fi
[ $# -gt 0 ] || { echo "fuzz: no targets in $build" >&2; exit 1; }
status=0
for target in "$@"; do
	program=$build/tests/fuzz/fuzz_$target
	[ -x "$program" ] || { echo "fuzz: no target '$target'" >&2; exit 1; }
	found=$build/corpus/$target
	mkdir -p "$found"
	echo "== fuzz $target, $seconds s"
	"$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
		-artifact_prefix="$build/corpus/$target-" "$found" "tests/fuzz/corpus/$target" >"$build/corpus/$target.log" 2>&1 ||
		{ status=1; tail -n 40 "$build/corpus/$target.log"; }
	grep -E '^(stat::number_of_executed_units|stat::new_units_added)' "$build/corpus/$target.log" || true
done
[ $status -eq 0 ] && echo "nothing found" || echo "found something: see $build/corpus"
exit $status
