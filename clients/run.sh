#!/usr/bin/env bash
# The official clients (Python openai, anthropic, langchain-openai, mcp; npm openai) against a running Fingerpost, in front
# of the scripted upstream in both its formats and of the local model.
#
#   clients/run.sh [--direct] [--no-local]
#
# --direct    talk to the scripted upstream itself, without a gateway: checks upstream and tests
# --no-local  leave the local model out (visibly)
# CLIENTS_SCRATCH  where clients are installed, reused by the next run (default: ${TMPDIR:-/tmp}/fingerpost-clients)
# FINGERPOST_BIN   the binary to test (default: cargo build --release)
# TESTKIT_BIN      the folder with scripted-upstream (default: built beside it)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
scratch=${CLIENTS_SCRATCH:-${TMPDIR:-/tmp}/fingerpost-clients}
export CLIENTS_DIRECT=0 CLIENTS_LOCAL=1 SCRIPTED_KEY=scripted-key
for word in "$@"; do
  case $word in
    --direct) CLIENTS_DIRECT=1 ;;
    --no-local) CLIENTS_LOCAL=0 ;;
    *) echo "run.sh: unknown option $word; known: --direct, --no-local" >&2; exit 2 ;;
  esac
done
mkdir -p "$scratch/node" "$scratch/log"

# === the clients ===

# Installed again only when what is asked for has changed.
stamp() { cat "$@" | sha256sum | cut -c1-16; }

venv=$scratch/venv-$(stamp "$here/python/requirements.txt")
if [ ! -e "$venv/ready" ]; then
  echo "run.sh: installing the Python clients" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
  touch "$venv/ready"
fi

node=$scratch/node
packages=$(stamp "$here/node/package.json" "$here/node/package-lock.json")
if [ "$(cat "$node/ready" 2>/dev/null || true)" != "$packages" ]; then
  echo "run.sh: installing the npm client" >&2
  rm -f "$node/ready"
  cp "$here/node/package.json" "$here/node/package-lock.json" "$node/"
  (cd "$node" && npm ci --no-audit --no-fund --silent)
  echo "$packages" >"$node/ready"
fi
cp "$here"/node/*.mjs "$node/"

# === the servers ===

target_dir=${CARGO_TARGET_DIR:-$root/target}
if [ -z "${TESTKIT_BIN:-}" ]; then
  (cd "$root" && cargo build --release --quiet -p fingerpost-testkit --bin scripted-upstream)
  TESTKIT_BIN=$target_dir/release
fi
if [ "$CLIENTS_DIRECT" = 0 ] && [ -z "${FINGERPOST_BIN:-}" ]; then
  (cd "$root" && cargo build --release --quiet --bin fingerpost)
  FINGERPOST_BIN=$target_dir/release/fingerpost
fi
# The tests of `fingerpost mcp` start it themselves.
export FINGERPOST_BIN=${FINGERPOST_BIN:-}

started=()
stop() {
  for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${started[@]+"${started[@]}"}; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'exit 130' INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start NAME PORT PATH COMMAND...: starts a server and waits until PATH answers.
start() {
  local name=$1 port=$2 path=$3
  shift 3
  "$@" >"$scratch/log/$name.log" 2>&1 &
  local pid=$!
  started+=("$pid")
  for _ in $(seq 200); do
    if python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=1)' "http://127.0.0.1:$port$path" 2>/dev/null; then
      return 0
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "run.sh: $name did not start; its last words:" >&2
  tail -20 "$scratch/log/$name.log" >&2
  exit 1
}

scripted_port=$(free_port)
export SCRIPTED_URL=http://127.0.0.1:$scripted_port
start scripted-upstream "$scripted_port" /_scripted/counters \
  "$TESTKIT_BIN/scripted-upstream" --listen "127.0.0.1:$scripted_port" --script "$here/upstream.json"

if [ "$CLIENTS_DIRECT" = 0 ]; then
  if [ "$CLIENTS_LOCAL" = 1 ]; then
    "$FINGERPOST_BIN" models pull smollm2
  else
    echo "skipped: the local model (--no-local)" >&2
  fi
  sed "s#@SCRIPTED@#$SCRIPTED_URL#" "$here/fingerpost.yaml" >"$scratch/fingerpost.yaml"
  port=$(free_port)
  export FINGERPOST_URL=http://127.0.0.1:$port
  start fingerpost "$port" /readyz "$FINGERPOST_BIN" serve --config "$scratch/fingerpost.yaml" --listen "127.0.0.1:$port"
fi

# === the tests ===

failed=0
report=$scratch/log/pytest.log
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest -q -p no:cacheprovider --tb=short -rs "$here/python" 2>&1 | tee "$report" || failed=1
nodes=$scratch/log/node.log
(cd "$node" && node --test --test-concurrency=1 --test-reporter=spec chat.test.mjs responses.test.mjs local.test.mjs) 2>&1 | tee "$nodes" || failed=1

echo "=== Python: $(tail -1 "$report")"
echo "=== Node: $(grep -E '^ℹ (tests|pass|fail|skipped) ' "$nodes" | sed 's/^ℹ //' | paste -sd, | sed 's/,/, /g')"
if [ "$failed" = 1 ] && [ "$CLIENTS_DIRECT" = 0 ]; then
  echo "=== the last words of fingerpost:"
  tail -20 "$scratch/log/fingerpost.log"
fi
exit "$failed"
