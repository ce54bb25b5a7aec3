#!/usr/bin/env bash
# Envoy with Fingerpost as its endpoint picker against Envoy alone: CPU a request (of both processes), added latency, first event of
# streams. The same generator, upstream, bodies and interleaved rounds as gateway.sh, which this calls.
#
#   bench/extproc.sh [--short] [--rounds N]
set -euo pipefail
exec bash "$(dirname "$0")/gateway.sh" --targets envoy,picker "$@"
