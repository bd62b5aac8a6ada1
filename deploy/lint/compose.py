"""Checks the compose file for what its schema cannot know. Usage: compose.py COMPOSE.yaml"""

import pathlib
import re
import sys
import tomllib
from urllib.parse import urlsplit

import yaml

from render import SERVICES
from report import Report


def check_hardened(report, name, service):
    """A container of our image can do as little as its pod in a cluster."""
    report.expect(service.get("read_only") is True, f"{name}: can write its root filesystem")
    report.expect(service.get("cap_drop") == ["ALL"], f"{name}: keeps capabilities")
    report.expect("no-new-privileges:true" in service.get("security_opt", []), f"{name}: may gain privileges")


def check_service(report, name, service, config):
    """One service of the suite: started after migration, probed by its own name, on this machine only."""
    if not report.expect(service is not None, f"{name}: is missing"):
        return
    file = service["configs"][0]["target"]
    report.expect(service["command"] == ["serve", name, "--config", file], f"{name}: runs {service['command']}")
    after = service["depends_on"].get("migrate", {}).get("condition")
    report.expect(after == "service_completed_successfully", f"{name}: does not wait for migrate")
    probe = ["CMD", "vitrine", "probe", "--address", "127.0.0.1:7701", "--service", name]
    report.expect(service["healthcheck"]["test"] == probe, f"{name}: healthcheck is {service['healthcheck']['test']}")
    for port in service["ports"]:
        report.expect(port.startswith("127.0.0.1:"), f"{name}: port {port} is open to the network")
    grace = int(re.fullmatch(r"(\d+)s", service["stop_grace_period"]).group(1))
    deadline = config["drain"]["drain_deadline_s"]
    report.expect(grace > deadline, f"{name}: grace of {grace} s, but the drain may take {deadline} s")
    peer = urlsplit(config["peers"][name])
    report.expect((peer.hostname, peer.port) == (name, 7700), f"{name}: its peers look for it at {peer.geturl()}")


def main():
    path = pathlib.Path(sys.argv[1])
    report = Report(path.name)
    text = path.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    services = document["services"]
    config = tomllib.loads((path.parent / document["configs"]["vitrine"]["file"]).read_text(encoding="utf-8"))
    for key, port in (("server", 7700), ("admin", 7701)):
        report.expect(config[key]["address"] == f"0.0.0.0:{port}", f"{key}.address is {config[key]['address']}")
    for name in SERVICES:
        check_service(report, name, services.get(name), config)
    for name, service in services.items():
        if service["image"].startswith("vitrine:"):
            check_hardened(report, name, service)
        report.expect(not service["image"].endswith(":latest") and ":" in service["image"], f"{name}: has no version")
    built = [name for name, service in services.items() if "build" in service]
    report.expect(built == ["migrate"], f"the image is built by {built}")
    build = services["migrate"]["build"]
    report.expect((path.parent / build["context"] / build["dockerfile"]).is_file(), "the Dockerfile is not there")
    # Every password comes from outside, and its absence is said.
    for password in re.findall(r"PASSWORD[^\n]*", text):
        named = password.startswith("PASSWORD:?") or "_PASSWORD:?" in password or "openssl rand" in password
        report.expect(named, f"a password may be written here: {password}")
    report.close(f"{len(services)} services hold")


if __name__ == "__main__":
    main()
