#!/usr/bin/env bash
# The index against hnswlib and usearch, from PyPI, in one run: one thread, M 16, efConstruction 200; glove100 of the shared
# data and a generated clustered set of 100,000 x 128. Queries per CPU second at recall@10 of .95 and .99, CPU seconds of the
# build, bytes a vector; --growth instead shows how a search grows from 10,000 to 1,000,000 vectors. Figures as JSON and a
# picture go to bench/out.
#
#   bench/index.sh [--short] [--growth] [--rounds N]
#
# FINGERPOST_BIN   the binary to measure (default: cargo build --release)
# BENCH_SCRATCH    where the peers are installed and indexes lie (default: ${TMPDIR:-/tmp}/fingerpost-bench)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
scratch=${BENCH_SCRATCH:-${TMPDIR:-/tmp}/fingerpost-bench}/index
mkdir -p "$scratch" "$here/out"

if [ -z "${FINGERPOST_BIN:-}" ]; then
  (cd "$root" && cargo build --release --quiet --bin fingerpost)
  FINGERPOST_BIN=${CARGO_TARGET_DIR:-$root/target}/release/fingerpost
fi
if [ ! -x "$scratch/venv/bin/python" ]; then python3 -m venv "$scratch/venv"; fi
if ! "$scratch/venv/bin/python" -c 'import hnswlib, usearch, numpy' 2>/dev/null; then
  "$scratch/venv/bin/pip" install --quiet --disable-pip-version-check numpy hnswlib usearch
fi
FINGERPOST_BIN=$FINGERPOST_BIN FINGERPOST_SHARED=${FINGERPOST_SHARED:-$root/../shared} \
  exec "$scratch/venv/bin/python" "$here/index.py" --scratch "$scratch" --out "$here/out" "$@"
