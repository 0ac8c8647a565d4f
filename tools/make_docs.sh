#!/bin/sh
# Builds the API reference: make_docs.sh OUTPUT_DIR. Any warning of doxygen's is a failure.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
(
	cat doc/Doxyfile
	echo "OUTPUT_DIRECTORY = $out"
	sed -n "s/^  version: '\(.*\)',/PROJECT_NUMBER = \1/p" meson.build
) | doxygen - || exit 1
echo "API reference: $1/html/index.html"
