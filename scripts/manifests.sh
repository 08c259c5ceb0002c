#!/usr/bin/env bash
#
# Makes Kubernetes' manifests of the Helm chart:
#
#   scripts/manifests.sh [FOLDER]    into FOLDER, by default deploy/kubernetes
#
# They are what `helm template` prints for deploy/helm/examples/manifests.yaml, without the labels of Helm.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
name=timestream-prometheus-connector
folder="${1:-$root/deploy/kubernetes}"
helm="$("$root/scripts/go-tools.sh" helm)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$helm" template "$name" "$root/deploy/helm/$name" --namespace monitoring --kube-version 1.30.0 \
    --values "$root/deploy/helm/examples/manifests.yaml" --output-dir "$work" >/dev/null
for file in "$work/$name/templates"/*.yaml; do
    {
        printf '# Made by scripts/manifests.sh from deploy/helm.\n'
        # The chart is in the Source comments too.
        sed -e '/^---$/d' -e '/^# Source: /d' -e '/app.kubernetes.io\/managed-by: Helm/d' -e '/helm.sh\/chart: /d' "$file"
    } >"$folder/$(basename "$file")"
done
