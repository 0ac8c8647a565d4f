#!/bin/sh
# What two sanitizers see that need builds of their own: memory (values that nobody wrote) and thread (races).
#
#     sanitize.sh [memory|thread]...       both by default; ten minutes, most of them for the whole tool
#
# memory: base, crypto's own part, wire and app without foreign libraries but libcbor, of which src/base/foreign.h tells.
# (OpenSSL is not built for it: what it writes would look unwritten.) thread: the pool that verifies signatures and the
# store that writes behind; then the whole tool, in real scenes of tests/cli (tools/threads.py; not with --in-tests, as it
# takes a build of its own). Each must first find what is planted.
set -eu
cd "$(dirname "$0")/.."
in_tests=
if [ "${1-}" = --in-tests ]; then
	shift
	in_tests=yes
	[ -n "${SEALMQ_LONG-}" ] || { echo "1..0 # SKIP long: ./run sanitize, or ./run test --full"; exit 0; }
fi
[ $# -gt 0 ] || set -- memory thread
command -v clang >/dev/null || { echo "1..0 # SKIP no clang"; exit 0; }
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
number=0
status=0

verdict() {
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; status=1; fi
}

compile() {
	clang "-fsanitize=$kind" -fno-omit-frame-pointer -g1 -O1 -std=gnu11 -D_GNU_SOURCE -Iinclude -Isrc -Itests/unit -w "$@"
}

# A library of the sources: only what a test needs is linked.
library() {
	mkdir -p "$room/$kind"
	for file; do
		compile -c "$file" -o "$room/$kind/$(echo "$file" | tr / _).o" &
		running=$((${running:-0} + 1))
		[ $((running % $(nproc))) -ne 0 ] || wait
	done
	wait
	rm -f "$room/$kind.a"
	ar rcs "$room/$kind.a" "$room/$kind"/*.o
}

planted() {
	printf '%s\n' "$1" >"$room/planted.c"
	compile "$room/planted.c" -o "$room/planted" -lpthread
	code=0
	"$room/planted" >/dev/null 2>&1 || code=1
	verdict "$kind: what is planted is found" $((1 - code))
}

try() {
	name=$1
	shift
	code=0
	compile "tests/unit/test_$name.c" "$room/$kind.a" "$@" -lcmocka -lcbor -lpthread -o "$room/test_$name" &&
		TSAN_OPTIONS=halt_on_error=1 SEALMQ_SOURCE_ROOT=$PWD "$room/test_$name" >"$room/said" 2>&1 || code=1
	[ $code -eq 0 ] || sed 's/^/# /' "$room/said" | grep -v '# ok' | head -30
	verdict "$kind: test_$name" $code
}

# The whole tool: rows of its own, numbered on.
scenes() {
	dir=build-thread
	if [ -n "$in_tests" ]; then
		number=$((number + 1))
		echo "ok $number - thread: the whole tool # SKIP a build of its own: ./run sanitize thread"
		return 0
	fi
	[ -f "$dir/build.ninja" ] ||
		CC=clang CXX=clang++ meson setup "$dir" -Db_sanitize=thread -Db_lundef=false >"$room/setup.log" 2>&1 ||
		{ cat "$room/setup.log"; verdict "thread: the whole tool is set up" 1; return 0; }
	ninja -C "$dir" src/cli/sealmq >"$room/build.log" 2>&1 ||
		{ tail -40 "$room/build.log"; verdict "thread: the whole tool is built" 1; return 0; }
	python3 -B tools/threads.py . "$dir" "$number" || status=1
	number=$((number + $(python3 -B tools/threads.py --count)))
}

for kind in "$@"; do
	case $kind in
	memory)
		planted 'int main(void) { volatile int x[1]; if (x[0]) return 2; return 0; }'
		library src/base/*.c src/crypto/*.c src/wire/*.c
		for name in base cbor sealed ks_wire wire_bounds edhoc_message; do try $name; done
		;;
	thread)
		planted '#include <pthread.h>
static int n; static void *f(void *p) { n++; return p; }
int main(void) { pthread_t t; pthread_create(&t, 0, f, 0); n++; pthread_join(t, 0); return 0; }'
		library src/base/*.c src/crypto/*.c src/wire/*.c src/core/*.c src/app/proof*.c src/app/message_copy.c \
			src/adapters/workers_posix/*.c src/adapters/store_behind/*.c src/adapters/store_files/*.c \
			src/adapters/crypto_openssl/*.c src/adapters/common_openssl/*.c $(grep -l '^smq_err smq_err_of_errno' -r src)
		try store_behind
		try proof_pool -lcrypto -ldl
		scenes
		;;
	*) echo "sanitize: no sanitizer '$kind'" >&2; exit 2 ;;
	esac
done
echo "1..$number"
exit $status
