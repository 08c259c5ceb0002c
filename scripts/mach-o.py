#!/usr/bin/env python3
"""Checks that a program can be loaded by macOS, as far as its headers say.

    scripts/mach-o.py arm64|x86_64 PROGRAM

It has to be an executable for the architecture that needs macOS 11 and nothing besides the system's own libraries, and
one for arm64 has to be signed, at least ad hoc, with the hashes of its pages: macOS starts no other.
"""

import hashlib
import struct
import sys
from pathlib import Path

MAGIC_64 = 0xFEEDFACF
CPUS = {"x86_64": 0x01000007, "arm64": 0x0100000C}
EXECUTABLE = 2
LOAD_LIBRARY, CODE_SIGNATURE, BUILD_VERSION, MAIN = 0xC, 0x1D, 0x32, 0x80000028
CODE_DIRECTORY = 0
SHA_256 = (32, 2)
MACOS = 1
OLDEST = (11, 0)
LIBRARIES = {
    "/usr/lib/libSystem.B.dylib",
    "/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation",
    "/System/Library/Frameworks/Security.framework/Versions/A/Security",
}


def commands(program):
    """Yields each load command with its bytes."""
    count, size = struct.unpack_from("<II", program, 16)
    at = 32
    for _ in range(count):
        command, length = struct.unpack_from("<II", program, at)
        yield command, program[at:at + length]
        at += length
    if at != 32 + size:
        yield None, b""


def is_signed(program, command):
    """Returns true if a signature has the hash of each page before it."""
    signature = struct.unpack_from("<I", command, 8)[0]
    _, _, count = struct.unpack_from(">III", program, signature)
    blobs = [struct.unpack_from(">II", program, signature + 12 + 8 * at) for at in range(count)]
    directories = [signature + offset for kind, offset in blobs if kind == CODE_DIRECTORY]
    if len(directories) != 1:
        return False
    hashes, _, _, pages, limit = struct.unpack_from(">IIIII", program, directories[0] + 16)
    size, kind, _, page = struct.unpack_from(">BBBB", program, directories[0] + 36)
    if limit != signature or (size, kind) != SHA_256 or pages != -(-limit >> page):
        return False
    for at in range(pages):
        start = directories[0] + hashes + size * at
        expected = program[start:start + size]
        if hashlib.sha256(program[at << page:min(at + 1 << page, limit)]).digest() != expected:
            return False
    return True


def problems(program, architecture):
    if len(program) < 32:
        return ["it is shorter than a header"]
    magic, cpu, _, kind = struct.unpack_from("<IIII", program)
    if (magic, cpu, kind) != (MAGIC_64, CPUS[architecture], EXECUTABLE):
        return [f"it is no executable for {architecture}: magic {magic:x}, processor {cpu:x}, type {kind}"]
    found = []
    seen = dict(commands(program))
    libraries = set()
    for command, data in commands(program):
        if command == LOAD_LIBRARY:
            start = struct.unpack_from("<I", data, 8)[0]
            libraries.add(data[start:].split(b"\0")[0].decode())
    if libraries != LIBRARIES:
        found.append(f"it needs {sorted(libraries)}")
    platform, oldest = struct.unpack_from("<II", seen.get(BUILD_VERSION, bytes(16)), 8)
    if platform != MACOS or (oldest >> 16, oldest >> 8 & 0xFF) != OLDEST:
        found.append(f"it is for platform {platform}, version {oldest >> 16}.{oldest >> 8 & 0xFF}")
    if MAIN not in seen or None in seen:
        found.append("its load commands are not whole")
    if architecture == "arm64" and not (CODE_SIGNATURE in seen and is_signed(program, seen[CODE_SIGNATURE])):
        found.append("it is not signed")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in CPUS:
        sys.exit("usage: scripts/mach-o.py arm64|x86_64 PROGRAM")
    found = problems(Path(sys.argv[2]).read_bytes(), sys.argv[1])
    for problem in found:
        print(f"mach-o.py: {sys.argv[2]}: {problem}", file=sys.stderr)
    sys.exit(bool(found))
