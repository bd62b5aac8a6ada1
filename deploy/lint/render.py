"""Reads rendered manifests and tells what a process in them is given: files, environment, drain."""

import tomllib

import yaml

SERVICES = ("catalog", "room", "order", "fulfillment")
CONFIG = "/etc/vitrine/config/vitrine.toml"


class Manifests:
    """Everything that `kubectl kustomize` printed."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.all = [each for each in yaml.safe_load_all(file) if each]

    def of(self, kind):
        """All objects of a kind, by name."""
        return {each["metadata"]["name"]: each for each in self.all if each["kind"] == kind}

    def workloads(self):
        """Everything that makes pods."""
        return [each for each in self.all if each["kind"] in ("Deployment", "StatefulSet", "Job")]

    def ours(self):
        """The workloads that run the suite's image."""
        return [each for each in self.workloads() if pod(each)["containers"][0]["name"] == "vitrine"]

    def config_data(self, name):
        """The data of a ConfigMap."""
        return self.of("ConfigMap")[name].get("data", {})

    def environment(self, workload, secret):
        """The variables of a workload; `secret` gives the value of a secret's key."""
        container = pod(workload)["containers"][0]
        variables = {}
        for source in container.get("envFrom", []):
            variables.update(self.config_data(source["configMapRef"]["name"]))
        for entry in container.get("env", []):
            if "value" in entry:
                variables[entry["name"]] = entry["value"]
            else:
                reference = entry["valueFrom"]["secretKeyRef"]
                variables[entry["name"]] = secret(reference["name"], reference["key"])
        return variables

    def files(self, workload, secret):
        """What is mounted into a workload, by path; `secret` gives a secret's files."""
        spec = pod(workload)
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        files = {}
        for mount in spec["containers"][0].get("volumeMounts", []):
            volume = volumes[mount["name"]]
            if "configMap" in volume:
                data = self.config_data(volume["configMap"]["name"])
            elif "secret" in volume:
                data = secret(volume["secret"]["secretName"])
            else:
                data = {}
            for name, content in data.items():
                files[f"{mount['mountPath']}/{name}"] = content
        return files

    def setting(self, workload, key):
        """A configuration value as the file and the environment give it, or None."""
        files = self.files(workload, lambda _: {})
        value = tomllib.loads(files[CONFIG])
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        variable = "VITRINE__" + key.upper().replace(".", "__")
        return self.environment(workload, lambda *_: "").get(variable, value)


def pod(workload):
    """The pod that a workload makes."""
    return workload["spec"]["template"]["spec"]


def pod_labels(workload):
    """The labels of the pods that a workload makes."""
    return workload["spec"]["template"]["metadata"].get("labels", {})


def selects(selector, labels):
    """Whether a label selector, or a plain map of labels, takes these labels."""
    if "matchLabels" in selector or "matchExpressions" in selector:
        equal = selector.get("matchLabels", {})
        among = selector.get("matchExpressions", [])
    else:
        equal, among = selector, []
    if any(labels.get(key) != value for key, value in equal.items()):
        return False
    for each in among:
        if each["operator"] != "In":
            raise ValueError(f"operator {each['operator']} is not understood here")
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True
