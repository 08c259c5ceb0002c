"""Prints the bcrypt hash of the password on standard input, for scripts/deploy.sh."""

import sys

import bcrypt

print(bcrypt.hashpw(sys.stdin.buffer.read().strip(), bcrypt.gensalt(10)).decode())
