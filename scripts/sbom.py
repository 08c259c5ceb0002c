#!/usr/bin/env python3
"""Prints a bill of materials by CycloneDX 1.5: the packages that are linked into the program for a target.

    scripts/sbom.py x86_64-unknown-linux-gnu >bom.cdx.json

They are those of `cargo tree` without derive macros and build scripts, which run on the machine that builds; their
checksums are those of Cargo.lock. The same commit gives the same text: its time is $SOURCE_DATE_EPOCH, if that is set.
"""

import json
import os
import re
import subprocess
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "timestream-prometheus-connector"


def linked(target):
    """Returns the packages as (name, version) with their licence, and the dependencies of each."""
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "--package", PROGRAM, "--target", target, "--edges", "normal,no-proc-macro",
         "--prefix", "depth", "--format", "\t{p}\t{l}\t"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout
    licences, needs, path = {}, {}, []
    for line in tree.splitlines():
        depth, package, licence, _ = line.split("\t")
        name, version = package.split()[:2]
        package = (name, version.removeprefix("v"))
        licences[package] = licence.replace(" / ", " OR ").replace("/", " OR ")
        needs.setdefault(package, set())
        path[int(depth):] = [package]
        if len(path) > 1:
            needs[path[-2]].add(package)
    return licences, needs


def component(package, licence, checksum):
    """Returns the description of a package; one without a checksum is of this repository."""
    name, version = package
    described = {"type": "library", "bom-ref": reference(package), "name": name, "version": version,
                 "licenses": [{"expression": licence}]}
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        described["purl"] = f"pkg:cargo/{name}@{version}"
    return described


def reference(package):
    return "@".join(package)


def bill(target):
    licences, needs = linked(target)
    entries = (ROOT / "Cargo.lock").read_text().split("[[package]]\n")[1:]
    entries = [dict(re.findall(r'^(name|version|checksum) = "(.*)"$', entry, re.MULTILINE)) for entry in entries]
    checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in entries}
    [program] = [package for package in licences if package[0] == PROGRAM]
    components = {package: component(package, licences[package], checksums[package]) for package in sorted(licences)}
    application = components.pop(program) | {"type": "application"}
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or datetime.now().timestamp())
    described = {
        "metadata": {
            "timestamp": datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": application,
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": list(components.values()),
        "dependencies": [{"ref": reference(package), "dependsOn": sorted(map(reference, needs[package]))}
                         for package in sorted(needs)],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(described, sort_keys=True))
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1} | described


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/sbom.py TARGET")
    json.dump(bill(sys.argv[1]), sys.stdout, indent=1)
    print()
