"""Parses a command line of SAM with SAM's own parser, and runs nothing.

Checks the names of parameters against the template, too: SAM itself leaves that to CloudFormation.
"""

import sys

import click
from samcli.cli.main import cli
from samcli.yamlhelper import yaml_parse


def parsed(arguments):
    """Returns the context of the innermost command."""
    command, words = cli, list(arguments)
    context = command.make_context("sam", words)
    while isinstance(command, click.Group):
        rest = [*context.protected_args, *context.args]
        name, command, words = command.resolve_command(context, rest)
        context = command.make_context(name, list(words), parent=context)
    return context


try:
    context = parsed(sys.argv[1:])
except click.ClickException as error:
    sys.exit(error.format_message())
given = context.params.get("parameter_overrides") or {}
with open(context.params.get("template_file") or "template.yaml", encoding="utf-8") as file:
    known = yaml_parse(file.read())["Parameters"]
unknown = sorted(set(given) - set(known))
if unknown:
    sys.exit(f"template.yaml has no parameters {unknown}")
