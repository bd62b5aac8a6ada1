"""Checks rendered manifests for what schemas cannot know. Usage: manifests.py NAME RENDERED.yaml"""

import sys
from urllib.parse import urlsplit

from render import CONFIG, SERVICES, Manifests, pod, pod_labels, selects
from report import Report

# What has to be there before; deploy/README.md says how to make them.
SECRETS = {
    "vitrine-database": set(SERVICES),
    "vitrine-database-owner": set(SERVICES),
    "vitrine-keys": {"vitrine.pem"},
    "vitrine-tls": {"tls.crt", "tls.key", "ca.crt"},
    "postgres": {"password", "service-password"},
}
# Units of work that are under way when the drain is over still get their answer from the database.
GRACE_MARGIN_S = 10


def check_restricted(report, workload):
    """Pod security standard `restricted`, a read-only root, and no way to the cluster's API."""
    where = f"{workload['kind']} {workload['metadata']['name']}"
    spec = pod(workload)
    context = spec.get("securityContext", {})
    report.expect(context.get("runAsNonRoot") is True, f"{where}: runAsNonRoot is not set")
    report.expect(context.get("runAsUser", 0) > 0, f"{where}: runs as root")
    profile = context.get("seccompProfile", {}).get("type")
    report.expect(profile == "RuntimeDefault", f"{where}: seccompProfile is {profile}")
    report.expect(spec.get("automountServiceAccountToken") is False, f"{where}: mounts an API token")
    report.expect(spec.get("enableServiceLinks") is False, f"{where}: takes service links")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        report.expect(not spec.get(key), f"{where}: uses {key}")
    for container in spec["containers"] + spec.get("initContainers", []):
        own = container.get("securityContext", {})
        report.expect(own.get("allowPrivilegeEscalation") is False, f"{where}: allows privilege escalation")
        report.expect(own.get("readOnlyRootFilesystem") is True, f"{where}: can write its root filesystem")
        report.expect(own.get("capabilities", {}).get("drop") == ["ALL"], f"{where}: keeps capabilities")
        report.expect(not own.get("capabilities", {}).get("add"), f"{where}: adds capabilities")
        resources = container.get("resources", {})
        report.expect({"cpu", "memory"} <= set(resources.get("requests", {})), f"{where}: requests are missing")
        report.expect("memory" in resources.get("limits", {}), f"{where}: has no limit on memory")
    for volume in spec.get("volumes", []):
        report.expect("hostPath" not in volume, f"{where}: mounts {volume.get('hostPath')}")


def check_references(report, manifests, workload):
    """What a workload refers to is there, or is a Secret that the README tells to make."""
    where = f"{workload['kind']} {workload['metadata']['name']}"
    spec = pod(workload)
    container = spec["containers"][0]
    account = spec.get("serviceAccountName")
    if account:
        report.expect(account in manifests.of("ServiceAccount"), f"{where}: no ServiceAccount {account}")
    maps = [source["configMapRef"]["name"] for source in container.get("envFrom", [])]
    maps += [volume["configMap"]["name"] for volume in spec.get("volumes", []) if "configMap" in volume]
    for name in maps:
        report.expect(name in manifests.of("ConfigMap"), f"{where}: no ConfigMap {name}")
    for volume in spec.get("volumes", []):
        name = volume.get("secret", {}).get("secretName")
        report.expect(name is None or name in SECRETS, f"{where}: unknown Secret {name}")
    for entry in container.get("env", []):
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        if reference:
            known = reference["key"] in SECRETS.get(reference["name"], ())
            report.expect(known, f"{where}: no key {reference['key']} in Secret {reference['name']}")


def check_service(report, manifests, name):
    """One service of the suite: reachable, probed, drained in time."""
    deployment = manifests.of("Deployment").get(name)
    service = manifests.of("Service").get(name)
    if not report.expect(deployment and service, f"{name}: needs a Deployment and a Service"):
        return
    container = pod(deployment)["containers"][0]
    labels = pod_labels(deployment)
    report.expect(container["args"] == ["serve", name, "--config", CONFIG], f"{name}: runs {container['args']}")
    report.expect(service["spec"].get("clusterIP") == "None", f"{name}: the Service is not headless")
    report.expect(selects(service["spec"]["selector"], labels), f"{name}: the Service selects no pod")
    others = [w for w in manifests.workloads() if selects(service["spec"]["selector"], pod_labels(w))]
    report.expect(others == [deployment], f"{name}: the Service selects other pods too")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expected = {"grpc": ("server.address", 7700), "admin": ("admin.address", 7701)}
    if manifests.setting(deployment, "server.internal.address"):
        expected["internal"] = ("server.internal.address", 7702)
        asks = manifests.setting(deployment, "server.internal.tls.client_auth")
        report.expect(asks == "required", f"{name}: on the internal port certificates are {asks or 'off'}")
    wanted = {port: number for port, (_, number) in expected.items()}
    report.expect(ports == wanted, f"{name}: ports are {ports}")
    for key, port in expected.values():
        address = manifests.setting(deployment, key)
        report.expect(address == f"0.0.0.0:{port}", f"{name}: {key} is {address}")
    for probe in ("startupProbe", "livenessProbe"):
        asked = container.get(probe, {}).get("httpGet", {})
        lives = asked.get("path") == "/livez" and asked.get("port") == "admin"
        report.expect(lives, f"{name}: {probe} must ask /livez alone, a restart mends nothing else")
    ready = container.get("readinessProbe", {})
    report.expect(ready.get("grpc") == {"port": 7701, "service": name}, f"{name}: readinessProbe is {ready}")
    report.expect(ready.get("timeoutSeconds", 1) >= 2, f"{name}: readiness may take a second by itself")
    deadline = int(manifests.setting(deployment, "drain.drain_deadline_s"))
    delay = int(manifests.setting(deployment, "drain.drain_delay_s"))
    grace = pod(deployment).get("terminationGracePeriodSeconds", 30)
    enough = grace >= deadline + GRACE_MARGIN_S
    report.expect(enough, f"{name}: grace of {grace} s, but the drain may take {deadline} s and needs a margin")
    report.expect(delay < deadline, f"{name}: the drain is over before its delay")
    if deployment["spec"].get("replicas", 2) > 1:
        strategy = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
        report.expect(strategy.get("maxUnavailable") == 0, f"{name}: a rollout takes pods away first")


def check_room(report, manifests):
    """Rooms do not fan out across processes, so there must never be two."""
    room = manifests.of("Deployment").get("room", {}).get("spec", {})
    report.expect(room.get("replicas") == 1, "room: must have one replica")
    report.expect(room.get("strategy", {}).get("type") == "Recreate", "room: strategy must be Recreate")
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in manifests.of("HorizontalPodAutoscaler").values()]
    report.expect("room" not in scaled, "room: must not be scaled")


def check_selectors(report, manifests):
    """Budgets, policies and autoscalers apply to something, and every service but room has a budget."""
    workloads = manifests.workloads()
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for name, each in manifests.of(kind).items():
            hit = any(selects(each["spec"][key], pod_labels(workload)) for workload in workloads)
            report.expect(hit, f"{kind} {name}: selects no pod")
    for workload in workloads:
        closed = any(
            not policy["spec"].get("ingress") and selects(policy["spec"]["podSelector"], pod_labels(workload))
            for policy in manifests.of("NetworkPolicy").values()
            if set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        )
        report.expect(closed, f"{workload['metadata']['name']}: no NetworkPolicy closes what is not opened")
    budgets = set(manifests.of("PodDisruptionBudget"))
    report.expect(budgets == set(SERVICES) - {"room"}, f"PodDisruptionBudgets are {sorted(budgets)}")
    for name, each in manifests.of("HorizontalPodAutoscaler").items():
        target = manifests.of("Deployment").get(each["spec"]["scaleTargetRef"]["name"], {})
        report.expect(target, f"HorizontalPodAutoscaler {name}: scales nothing")
        report.expect("replicas" not in target.get("spec", {}), f"{name}: replicas and an autoscaler fight")


def check_peers(report, manifests):
    """Every peer is a Service, and encrypted where the server is."""
    services = manifests.of("Service")
    for workload in manifests.ours():
        if workload["kind"] != "Deployment":
            continue
        scheme = "https" if manifests.setting(workload, "server.tls.cert_file") else "http"
        port = 7702 if manifests.setting(workload, "server.internal.address") else 7700
        for peer in SERVICES:
            address = urlsplit(manifests.setting(workload, f"peers.{peer}") or "")
            good = address.scheme == scheme and address.port == port and address.hostname == peer in services
            report.expect(good, f"{workload['metadata']['name']}: peers.{peer} is {address.geturl()!r}")


def check_migration(report, manifests):
    """`kubectl apply -l rollout-phase=migrate` brings all that the Job needs."""
    job = manifests.of("Job").get("migrate")
    if not report.expect(job, "there is no Job migrate"):
        return
    report.expect(pod(job)["containers"][0]["args"] == ["migrate", "--config", CONFIG], "migrate: runs something else")
    databases = {f"VITRINE__DATABASE__{name.upper()}__URL" for name in SERVICES}
    given = set(manifests.environment(job, lambda *_: ""))
    report.expect(databases <= given, f"migrate: lacks {sorted(databases - given)}")
    needed = {("Job", "migrate"), ("ServiceAccount", pod(job)["serviceAccountName"])}
    needed |= {("ConfigMap", name) for name in manifests.of("ConfigMap")}
    needed |= {("Namespace", name) for name in manifests.of("Namespace")}
    needed |= {("StatefulSet", name) for name in manifests.of("StatefulSet")}
    for name, policy in manifests.of("NetworkPolicy").items():
        # The Job sends no telemetry.
        if selects(policy["spec"]["podSelector"], pod_labels(job)) and name != "telemetry":
            needed.add(("NetworkPolicy", name))
    for kind, name in sorted(needed):
        labels = manifests.of(kind)[name]["metadata"].get("labels", {})
        report.expect(labels.get("rollout-phase") == "migrate", f"{kind} {name}: lacks rollout-phase: migrate")


def connections(manifests):
    """The most connections that PostgreSQL is asked for, surge pods included; two of a pod are for readiness."""
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["maxReplicas"]
        for each in manifests.of("HorizontalPodAutoscaler").values()
    }
    total = 2  # the Job
    for name in SERVICES:
        deployment = manifests.of("Deployment")[name]
        pods = scaled.get(name, deployment["spec"].get("replicas", 1))
        pods += deployment["spec"]["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
        total += pods * (int(manifests.setting(deployment, f"database.{name}.max_connections")) + 2)
    return total


def main():
    name, path = sys.argv[1:]
    report = Report(name)
    manifests = Manifests(path)
    report.expect(not manifests.of("Secret"), "holds Secrets; they are made by hand and never committed")
    for workload in manifests.workloads():
        check_restricted(report, workload)
        check_references(report, manifests, workload)
        image = pod(workload)["containers"][0]["image"]
        pinned = (":" in image and not image.endswith(":latest")) or name == "base"
        report.expect(pinned, f"{workload['metadata']['name']}: image {image} has no version")
    for service in SERVICES:
        check_service(report, manifests, service)
    check_room(report, manifests)
    check_selectors(report, manifests)
    check_peers(report, manifests)
    check_migration(report, manifests)
    asked = connections(manifests) if not report.findings else 0
    report.close(f"{len(manifests.all)} objects hold, PostgreSQL is asked for at most {asked} connections")


if __name__ == "__main__":
    main()
