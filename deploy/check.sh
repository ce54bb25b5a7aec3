#!/usr/bin/env bash
# What can be said of the chart and the manifests without a cluster: the chart is linted and rendered by Helm's own code, what comes out
# is valid by Kubernetes' schemas, stands in deploy/kubernetes as it is, and holds a configuration that Fingerpost takes.
#
#   deploy/check.sh [--write]      --write renders deploy/kubernetes anew
#
# FINGERPOST_BIN   the binary that checks the configurations (left out, with a line that says so, where unset)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/fingerpost-ci/deploy-tools
if [ ! -x "$tools/bin/python" ] || ! "$tools/bin/python" -c 'import helm_python, kubernetes_validate, yaml' 2>/dev/null; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 pyyaml
fi
exec "$tools/bin/python" "$here/check.py" "$@"
