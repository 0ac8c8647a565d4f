#!/bin/sh
# Static analysis of src/: each finding fails it.
#
#     analyse.sh BUILD_DIR [TOOL...]       cppcheck (by default), gcc (-fanalyzer), clang (its analyzer, as scan-build
#                                          runs it), tidy (clang-tidy, with the checks that .clang-tidy names)
#
# What the three others say and why it is none is in tools/analyse_answers.txt.
#
# cppcheck's "uninitvar" is left to the sanitizers and valgrind, which see paths as they are: it does not follow that a
# value (or a member of a struct) is there where an error is not; so are leaks, which it sees wherever memory is handed over through a struct.
# "readdirCalled" asks for readdir_r, which the C library has given up; "getpwuidCalled" for threads that are not there; "invalidFunctionArgBool" and "autoVariables" take
# functions of ours for others of their name, and a pointer that lives as long as what it points to for one that outlives
# it.
#
# By file: names.c loads a module for good and looks its names up elsewhere; store_files.c returns the descriptor that it
# is said to lose; cmd_swarm.c's mmap is of memory and of no file, for which -1 is what is asked for.
set -eu
cd "$(dirname "$0")/.."
build=$1
shift
[ $# -gt 0 ] || set -- cppcheck
status=0
number=0

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
			--suppress=uninitStructMember --suppress=leakReturnValNotUsed:src/adapters/confine_seccomp/names.c \
			--suppress=resourceLeak:src/adapters/store_files/store_files.c \
			--suppress=invalidFunctionArg:src/cli/cmd_swarm.c \
			--suppress=invalidFunctionArgBool --suppress=autoVariables -I include -I src src || code=$?
		;;
	gcc | clang | tidy)
		program=$tool
		[ "$tool" != tidy ] || program=clang-tidy
		command -v $program >/dev/null || { echo "# $program is not here"; continue; }
		python3 tools/analyse.py "$build" "$tool" || code=$?
		;;
	*) echo "analyse: no tool '$tool'" >&2; exit 2 ;;
	esac
	verdict "$tool" "$code"
done
echo "1..$number"
exit $status
