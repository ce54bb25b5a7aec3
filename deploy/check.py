"""Lints, renders and validates the chart. Started by check.sh, which installs what is needed."""

import os
import pathlib
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml
from helm_python import chart

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE / "helm" / "fingerpost"
KUBERNETES = "1.31"
HEADER = "# Rendered from deploy/helm/fingerpost with {}; deploy/check.sh --write renders it anew.\n"
# Kinds that Kubernetes itself does not know, with what they cannot be without.
FOREIGN = {"InferencePool": ("selector", "targetPorts", "endpointPickerRef")}


def rendered(values):
    """The manifests, by the name of their template, and their documents."""
    manifests = chart.Chart.load(CHART).render(values, name="fingerpost", namespace="default")
    texts = [text.strip() for name, text in sorted(manifests.items()) if name.endswith(".yaml") and text.strip()]
    return "\n---\n".join(texts) + "\n", [yaml.safe_load(text) for text in texts]


def validate(document, name):
    kind = document["kind"]
    if kind in FOREIGN:
        missing = [key for key in FOREIGN[kind] if key not in document["spec"]]
        if missing:
            sys.exit(f"check.py: {name}: {kind} lacks {', '.join(missing)}")
        return
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        sys.exit(f"check.py: {name}: {kind} is not valid at {'.'.join(map(str, error.path))}: {error.message}")


def check_configuration(document, name):
    """Fingerpost takes its configuration."""
    program = os.environ.get("FINGERPOST_BIN")
    if not program:
        print(f"skipped: the configuration of {name} (FINGERPOST_BIN is not set)")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "fingerpost.yaml"
        file.write_text(document["data"]["fingerpost.yaml"])
        done = subprocess.run([program, "check", file], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"check.py: {name}: its configuration cannot be used:\n{done.stdout}{done.stderr}")


def refused(values, expected):
    """Values that the chart does not take, with what it says."""
    try:
        rendered(values)
    except Exception as error:  # whatever Helm raises
        if expected in str(error):
            return
        sys.exit(f"check.py: expected {expected!r}, Helm says: {error}")
    sys.exit(f"check.py: the chart takes {values}")


def lint():
    report = chart.lint(CHART, strict=True, kube_version=f"v{KUBERNETES}.0")
    # An icon is only recommended.
    found = [m for m in report["messages"] if m["severity"] > 1]
    if report["errors"] or found:
        sys.exit(f"check.py: helm lint: {report['errors']} {found}")


def main():
    lint()
    write = sys.argv[1:] == ["--write"]
    for values_file in sorted((HERE / "kubernetes").glob("*.values.yaml")):
        name = values_file.name.removesuffix(".values.yaml")
        text, documents = rendered(yaml.safe_load(values_file.read_text()))
        for document in documents:
            validate(document, name)
            if document["kind"] == "ConfigMap":
                check_configuration(document, name)
        text = HEADER.format(values_file.name) + text
        target = HERE / "kubernetes" / f"{name}.yaml"
        if write:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            sys.exit(f"check.py: {target.name} is not what the chart renders: run deploy/check.sh --write")
        print(f"{name}: {', '.join(document['kind'] for document in documents)}: valid")
    for document in rendered({})[1]:
        validate(document, "defaults")
        if document["kind"] == "ConfigMap":
            check_configuration(document, "defaults")
    refused({"mode": "both"}, "mode")
    refused({"inferencePool": {"enabled": True, "selector": {"app": "x"}}}, "needs mode: extproc")
    print("the chart's defaults are valid, and what it does not take it refuses")


if __name__ == "__main__":
    main()
