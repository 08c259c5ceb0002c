"""template.yaml as CloudFormation would see it: transformed by SAM, with parameters put in.

Only the functions that the template uses are known; any other is an error.
"""

import copy
import functools
import os
import pathlib
import re

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

ROOT = pathlib.Path(__file__).resolve().parents[3]
# What CloudFormation knows by itself.
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()


class Rejected(Exception):
    """The parameters break a pattern or a rule, so that there is no stack."""


@functools.cache
def _transformed(text=None):
    template = yaml_parse(text or (ROOT / "template.yaml").read_text())
    if text is None:
        template["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/archive"
    os.environ.setdefault("AWS_DEFAULT_REGION", PSEUDO["AWS::Region"])
    return transform(template, {}, None)


def template():
    """The template after SAM's transformation, with all its functions."""
    return copy.deepcopy(_transformed())


class Stack:
    """A stack with parameters that differ from the defaults.

    `text` is a packaged template, in place of that of the repository.
    """

    def __init__(self, text=None, **parameters):
        self.template = _transformed(text)
        known = self.template["Parameters"]
        assert not parameters.keys() - known.keys(), parameters.keys() - known.keys()
        self.parameters = {name: self._value(name, known[name], parameters) for name in known}
        for name, rule in self.template["Rules"].items():
            if self._test(rule.get("RuleCondition", True)):
                for assertion in rule["Assertions"]:
                    if not self._test(assertion["Assert"]):
                        raise Rejected(f"{name}: {assertion['AssertDescription']}")
        self.resources = {
            name: self.resolve(resource)
            for name, resource in self.template["Resources"].items()
            if self._exists(resource)
        }
        self.outputs = {
            name: self.resolve(output["Value"])
            for name, output in self.template["Outputs"].items()
            if self._exists(output)
        }

    def of_type(self, kind):
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}

    def variables(self):
        (function,) = self.of_type("AWS::Lambda::Function").values()
        return function["Environment"]["Variables"]

    def statements(self):
        """Every statement of every policy for an identity."""
        for role in self.of_type("AWS::IAM::Role").values():
            assert not role.get("ManagedPolicyArns"), "policies of others are not looked into"
            for policy in role.get("Policies", []):
                yield from policy["PolicyDocument"]["Statement"]
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            for policy in self.of_type(kind).values():
                yield from policy["PolicyDocument"]["Statement"]

    def granted(self, action):
        """The resources that an action is allowed on."""
        return [
            resource
            for statement in self.statements()
            if action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
        ]

    @staticmethod
    def _value(name, declared, given):
        value = str(given.get(name, declared.get("Default")))
        if not re.search(declared.get("AllowedPattern", ""), value):
            raise Rejected(f"{name} is {value!r}: {declared.get('ConstraintDescription')}")
        allowed = declared.get("AllowedValues")
        if allowed and value not in map(str, allowed):
            raise Rejected(f"{name} is {value!r}, not one of {allowed}")
        return value

    def _exists(self, node):
        return "Condition" not in node or self._condition(node["Condition"])

    def _condition(self, name):
        return self._test(self.template["Conditions"][name])

    def _test(self, node):
        if node is True:
            return True
        ((function, argument),) = node.items()
        match function:
            case "Condition":
                return self._condition(argument)
            case "Fn::Equals":
                left, right = map(self.resolve, argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self._test(argument[0])
            case "Fn::And":
                return all([self._test(one) for one in argument])
            case "Fn::Or":
                return any([self._test(one) for one in argument])
        raise AssertionError(f"no such condition: {function}")

    def resolve(self, node):
        """A node with every function carried out."""
        if isinstance(node, list):
            return [value for value in map(self.resolve, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Ref":
                return self._ref(argument)
            if function.startswith("Fn::"):
                return self._call(function, argument)
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NO_VALUE}

    def _ref(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        return self._reference(name)

    def _reference(self, name, attribute=None):
        """A placeholder for a value that only exists once the resource does."""
        assert self._exists(self.template["Resources"][name]), f"{name} is not in this stack"
        return f"<{name}.{attribute}>" if attribute else f"<{name}>"

    def _call(self, function, argument):
        match function:
            case "Fn::If":
                condition, then, otherwise = argument
                return self.resolve(then if self._condition(condition) else otherwise)
            case "Fn::GetAtt":
                return self._reference(*(argument.split(".") if isinstance(argument, str) else argument))
            case "Fn::Sub":
                text, names = (argument, {}) if isinstance(argument, str) else argument
                local = {name: self.resolve(value) for name, value in names.items()}
                put_in = lambda found: str(local[found[1]] if found[1] in local else self._named(found[1]))
                return re.sub(r"\$\{([^}]+)\}", put_in, text)
            case "Fn::Select":
                index, values = argument
                return self.resolve(values)[int(index)]
            case "Fn::Split":
                separator, text = argument
                return self.resolve(text).split(separator)
        raise AssertionError(f"no such function: {function}")

    def _named(self, name):
        if "." in name:
            return self._reference(*name.split("."))
        return self._ref(name)


def as_list(value):
    return value if isinstance(value, list) else [value]
