#!/bin/sh
# Static analysis of src/: each finding fails it.
#
#     analyse.sh BUILD_DIR [TOOL...]       cppcheck by default; gcc (-fanalyzer) and clang (its analyzer) are noisier
#
# cppcheck's "uninitvar" is left to the sanitizers and valgrind, which see paths as they are: it does not follow that a
# value is there where an error is not; so are leaks, which it sees wherever memory is handed over through a struct.
# "readdirCalled" asks for readdir_r, which the C library has given up; "getpwuidCalled" for threads that are not there; "invalidFunctionArgBool" and "autoVariables" take
# functions of ours for others of their name, and a pointer that lives as long as what it points to for one that outlives
# it.
set -eu
cd "$(dirname "$0")/.."
build=$1
shift
[ $# -gt 0 ] || set -- cppcheck
status=0
number=0

# Every file of src with the flags of its own command, compiled by $1 with what follows; nothing is kept.
each_file() {
	python3 - "$build" "$@" <<-'PY'
	import json, os, shlex, subprocess, sys
	build, words = sys.argv[1], sys.argv[2:]
	bad = 0
	for entry in json.load(open(os.path.join(build, 'compile_commands.json'))):
	    path = os.path.normpath(os.path.join(entry['directory'], entry['file']))
	    if os.sep + 'src' + os.sep not in path or not path.endswith('.c'):
	        continue
	    flags = [w for w in shlex.split(entry['command'])[1:] if w.startswith(('-I', '-D', '-std'))]
	    done = subprocess.run(words + flags + ['-c', path], cwd=entry['directory'], capture_output=True, text=True)
	    if done.returncode or 'warning:' in done.stderr:
	        print(done.stderr.strip())
	        bad = 1
	sys.exit(bad)
	PY
}

verdict() {
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		status=1
	fi
}

for tool in "$@"; do
	code=0
	case $tool in
	cppcheck)
		command -v cppcheck >/dev/null || { echo "# cppcheck is not here"; continue; }
		cppcheck -q --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 --library=posix \
			--suppress=missingIncludeSystem --suppress=readdirCalled --suppress=getpwuidCalled --suppress=uninitvar \
			--suppress=ctuuninitvar --suppress=legacyUninitvar --suppress=memleak \
			--suppress=invalidFunctionArgBool --suppress=autoVariables -I include -I src src || code=$?
		;;
	gcc) each_file gcc -O1 -w -fanalyzer -Wanalyzer-double-free -Wanalyzer-use-after-free -Wanalyzer-null-dereference \
		-Wanalyzer-malloc-leak -Wanalyzer-file-leak -Wanalyzer-use-of-uninitialized-value \
		-o /dev/null || code=$? ;;
	clang)
		command -v clang >/dev/null || { echo "# clang is not here"; continue; }
		each_file clang --analyze -Xclang -analyzer-output=text \
			-Xclang -analyzer-checker=core,deadcode,unix,security.insecureAPI.UncheckedReturn,nullability \
			-o /dev/null || code=$?
		;;
	*) echo "analyse: no tool '$tool'" >&2; exit 2 ;;
	esac
	verdict "$tool" "$code"
done
echo "1..$number"
exit $status
