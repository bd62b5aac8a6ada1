"""Checks Prometheus rules against the metrics that the sources define. Usage: rules.py REPOSITORY RULES.yaml README.md

Every expression must parse. Every metric must be one that the code records, with its unit and kind in its name, and
every label and every plain word that a label is compared with must stand in the sources or the contracts.
"""

import pathlib
import re
import sys

import promql_parser
import yaml

from render import SERVICES
from report import Report

INSTRUMENT = re.compile(
    r'\.[fui]64_(histogram|counter|gauge|up_down_counter)\(\s*"([^"]+)"\s*\)(.*?)\.build\(\)', re.DOTALL
)
UNIT = re.compile(r'\.with_unit\("([^"]+)"\)')
# What Prometheus itself, its configuration beside the rules, and kube-state-metrics bring.
FOREIGN = {"up", "kube_deployment_status_replicas_unavailable", "kube_job_status_failed", "kube_job_status_succeeded"}
TARGET_LABELS = {"job", "namespace", "pod", "component"}
KUBE_LABELS = {"namespace", "deployment", "job_name"}
WORDS = re.compile(r"[A-Za-z_]+(\|[A-Za-z_]+)*")


def series_of(kind, name, unit):
    """The names under which Prometheus shows an instrument."""
    name = name.replace(".", "_")
    if unit == "s":
        name += "_seconds"
    if kind == "histogram":
        return {name + suffix for suffix in ("_bucket", "_sum", "_count")}
    return {name + "_total" if kind == "counter" else name}


def recorded_by(sources):
    """All series that the sources record."""
    series = set()
    for text in sources:
        for kind, name, rest in INSTRUMENT.findall(text):
            unit = UNIT.search(rest)
            series |= series_of(kind, name, unit.group(1) if unit else "")
    return series


def selectors(expression):
    """Every selector of an expression: metric, and what its labels are compared with."""
    found = []

    def visit(node):
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, [(m.name, m.op, m.value) for m in node.matchers.matchers]))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


class Sources:
    """What the code and the contracts can say."""

    def __init__(self, repository):
        code = [*repository.glob("crates/*/src/**/*.rs"), *repository.glob("services/*/src/**/*.rs")]
        self.code = [file.read_text(encoding="utf-8") for file in code if "tests" not in file.stem]
        self.protos = [file.read_text(encoding="utf-8") for file in (repository / "proto").glob("**/*.proto")]
        everything = "\n".join(self.code)
        self.series = recorded_by(self.code)
        keys = re.findall(r'KeyValue::new\("([^"]+)"', everything)
        self.labels = {key.replace(".", "_") for key in keys} | {"le"}
        self.literals = set(re.findall(r'"([A-Za-z_]+)"', everything))
        self.literals |= set(re.findall(r"\b(CRITICALITY_[A-Z]+)\b", "\n".join(self.protos)))
        self.methods = self.all_methods()

    def all_methods(self):
        """Every method, as `rpc.method` says it."""
        methods = set()
        for text in self.protos:
            package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
            for service, body in re.findall(r"^service (\w+) \{(.*?)^\}", text, re.DOTALL | re.MULTILINE):
                for method in re.findall(r"^\s*rpc (\w+)\(", body, re.MULTILINE):
                    methods.add(f"/{package.group(1)}.{service}/{method}")
        return methods


def check_selector(report, sources, recorded, where, metric, matchers):
    """One selector names a series that exists, and asks for something that it can have."""
    known = metric in sources.series or metric in recorded or metric in FOREIGN
    report.expect(known, f"{where}: nothing records {metric}")
    if metric and metric.startswith("kube_"):
        labels = KUBE_LABELS
    else:
        labels = sources.labels | TARGET_LABELS
    for label, op, value in matchers:
        report.expect(label in labels, f"{where}: {metric} has no label {label}")
        if label == "job":
            report.expect(value == "vitrine", f"{where}: job is {value}")
        elif label in ("component", "deployment"):
            report.expect(set(value.split("|")) <= set(SERVICES), f"{where}: {label} is {value}")
        elif label == "rpc_method":
            pattern = value if "=~" in str(op) or "Re" in str(op) else re.escape(value)
            report.expect(any(re.fullmatch(pattern, m) for m in sources.methods), f"{where}: no method is {value}")
        elif label in sources.labels and WORDS.fullmatch(value):
            for word in value.split("|"):
                report.expect(word in sources.literals, f"{where}: {label} is never {word}")


def main():
    repository, path, readme = (pathlib.Path(arg) for arg in sys.argv[1:])
    report = Report(path.name)
    sources = Sources(repository)
    report.expect(len(sources.series) >= 10, f"only {sorted(sources.series)} were found in the sources")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    manual = readme.read_text(encoding="utf-8")
    names = [rule.get("record") or rule["alert"] for rule in rules]
    report.expect(len(names) == len(set(names)), "two rules have one name")
    for rule, name in zip(rules, names):
        try:
            found = selectors(rule["expr"])
        except ValueError as error:
            report.expect(False, f"{name}: {error}")
            continue
        report.expect(found, f"{name}: asks for nothing")
        for metric, matchers in found:
            check_selector(report, sources, recorded, name, metric, matchers)
        if "alert" in rule:
            severity = rule.get("labels", {}).get("severity")
            report.expect(severity in ("page", "ticket"), f"{name}: severity is {severity}")
            report.expect(rule.get("annotations", {}).get("summary"), f"{name}: has no summary")
            report.expect(re.search(rf"\b{name}\b", manual), f"{name}: {readme} does not say what to do")
    report.close(f"{len(rules)} rules ask for what the sources record")


if __name__ == "__main__":
    main()
