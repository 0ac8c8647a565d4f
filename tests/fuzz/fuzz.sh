#!/bin/sh
# Runs the fuzzers one after the other: fuzz.sh BUILD_DIR SECONDS RUNS [TARGET...]; one of the two bounds may be 0.
# What they find stays in BUILD_DIR/corpus.
set -eu
cd "$(dirname "$0")/../.."
build=$1
seconds=$2
runs=$3
shift 3
if [ $# -eq 0 ]; then
	for program in "$build"/tests/fuzz/fuzz_*; do
		[ -x "$program" ] && [ -f "$program" ] && set -- "$@" "${program##*/fuzz_}"
	done
fi
[ $# -gt 0 ] || { echo "fuzz: no targets in $build" >&2; exit 1; }
bounds="-max_total_time=$seconds"
[ "$runs" -gt 0 ] && bounds="$bounds -runs=$runs"

# The last number after a word of libFuzzer's report.
last() { sed -n "s/.*$2 \([0-9][0-9]*\).*/\1/p" "$1" | tail -n 1; }

status=0
printf '%-10s %12s %8s %8s %8s\n' target executions edges features found
for target in "$@"; do
	program=$build/tests/fuzz/fuzz_$target
	[ -x "$program" ] || { echo "fuzz: no target '$target'" >&2; exit 1; }
	kept=$build/corpus/$target
	log=$build/corpus/$target.log
	mkdir -p "$kept"
	found=no
	# shellcheck disable=SC2086
	"$program" $bounds -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
		-artifact_prefix="$build/corpus/$target-" "$kept" "tests/fuzz/corpus/$target" >"$log" 2>&1 || found=yes
	printf '%-10s %12s %8s %8s %8s\n' "$target" "$(last "$log" stat::number_of_executed_units:)" "$(last "$log" cov:)" \
		"$(last "$log" ft:)" $found
	[ $found = no ] || { status=1; tail -n 40 "$log" >&2; }
done
[ $status -eq 0 ] && echo "nothing found" || echo "found something: see $build/corpus"
exit $status
