"""Starts each process with exactly the files and variables that its container gets, without its database.

Usage: boot.py VITRINE NAME RENDERED.yaml      one kustomization
       boot.py VITRINE compose COMPOSE.yaml    the compose file

A process must take its configuration, open its ports and be alive; without a database it must not be ready, and must
know its own name in gRPC health.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import tomllib
import urllib.request

import yaml

from render import SERVICES, Manifests
from report import Report

# Nothing listens there.
NO_DATABASE = "postgres://vitrine:vitrine@127.0.0.1:1/vitrine"
START_S = 60


def make_key(algorithm, *options):
    """A private key that nobody keeps."""
    command = ["openssl", "genpkey", "-algorithm", algorithm, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make_secrets(folder):
    """Stand-ins for the Secrets, by name and file."""
    tls_key = folder / "tls.key"
    tls_key.write_text(make_key("EC", "-pkeyopt", "ec_paramgen_curve:P-256"), encoding="ascii")
    names = ",".join(f"DNS:{name}" for name in SERVICES)
    command = ["openssl", "req", "-x509", "-new", "-key", tls_key, "-days", "1", "-subj", "/CN=vitrine"]
    command += ["-addext", f"subjectAltName={names}"]
    certificate = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    keys = {f"{name}.pem": make_key("ed25519") for name in ("vitrine", "development", "payment")}
    tls = {"tls.crt": certificate, "tls.key": tls_key.read_text(encoding="ascii"), "ca.crt": certificate}
    return {"vitrine-keys": keys, "vitrine-tls": tls}


class Container:
    """One container's command, variables and files, moved into a folder of this machine."""

    def __init__(self, root, args, environment, files, moved):
        self.root = root

        def move(text):
            for path in moved:
                text = text.replace(path, f"{root}{path}")
            return text

        for path, content in files.items():
            target = pathlib.Path(f"{root}{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(move(content), encoding="utf-8")
        self.args = [move(arg) for arg in args]
        self.environment = {name: move(value) for name, value in environment.items()}
        self.environment["PATH"] = os.environ["PATH"]
        # Any free port, as for the others.
        if "VITRINE__SERVER__INTERNAL__ADDRESS" in self.environment:
            self.environment["VITRINE__SERVER__INTERNAL__ADDRESS"] = "127.0.0.1:0"

    def ask(self, vitrine, *args):
        """Runs a command to its end."""
        command = [vitrine, *args]
        return subprocess.run(
            command, env=self.environment, cwd=self.root, capture_output=True, text=True, timeout=START_S, check=False
        )


def check_config(report, name, vitrine, container, production):
    """The configuration is accepted; in production, nothing of a laptop's is left in it."""
    config = container.args[container.args.index("--config") :]
    answer = container.ask(vitrine, "config", *config)
    if not report.expect(answer.returncode == 0, f"{name}: {answer.stderr.strip()}"):
        return False
    values = tomllib.loads(answer.stdout)
    report.expect(values["migrate_on_start"] == "never", f"{name}: migrates when it starts")
    if production:
        report.expect(not values["development_tokens"], f"{name}: takes development tokens")
        report.expect(not values["reflection"], f"{name}: serves reflection")
        report.expect(values["auth"].get("own_key_file"), f"{name}: makes a key of its own")
    return True


def check_boot(report, name, vitrine, container):
    """The process starts, lives without its database, and is not ready."""
    command = [vitrine, *container.args, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    log = container.root / "log"
    with open(log, "wb") as errors:
        process = subprocess.Popen(
            command,
            env=container.environment,
            cwd=container.root,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        )
        stuck = threading.Timer(START_S, process.kill)
        stuck.start()
        try:
            lines = iter(process.stdout.readline, "")
            said = next((line for line in lines if line.startswith("admin")), None)
            if said is None:
                process.wait(timeout=START_S)
                report.expect(False, f"{name}: did not start: {log.read_text(encoding='utf-8').strip()[-2000:]}")
                return
            admin = said.split()[1].removeprefix("http://")
            with urllib.request.urlopen(f"http://{admin}/livez", timeout=10) as answer:
                report.expect(answer.status == 200, f"{name}: /livez says {answer.status} without a database")
            probe = container.ask(vitrine, "probe", "--address", admin, "--service", name)
            unready = probe.returncode == 1 and "not ready" in probe.stderr
            report.expect(unready, f"{name}: without a database its probe says {(probe.stdout + probe.stderr).strip()}")
        finally:
            # It has no work to lose, and a drain would take its time.
            stuck.cancel()
            process.kill()
            process.stdout.close()
            process.wait()


def kubernetes(path, secrets):
    """Each workload of rendered manifests that runs our image: name, command, variables, files."""
    manifests = Manifests(path)
    for workload in manifests.ours():
        args = workload["spec"]["template"]["spec"]["containers"][0]["args"]
        environment = manifests.environment(workload, lambda *_: NO_DATABASE)
        files = manifests.files(workload, lambda name: secrets.get(name, {}))
        yield workload["metadata"]["name"], args, environment, files


def compose(path, _):
    """Each service of the compose file that runs our image."""
    folder = pathlib.Path(path).parent
    document = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
    for name, service in document["services"].items():
        if not service["image"].startswith("vitrine:") or service["command"][0] not in ("serve", "migrate"):
            continue
        environment = {
            key: NO_DATABASE if key.endswith("__URL") else value for key, value in service["environment"].items()
        }
        files = {
            each["target"]: (folder / document["configs"][each["source"]]["file"]).read_text(encoding="utf-8")
            for each in service["configs"]
        }
        yield name, service["command"], environment, files


def main():
    vitrine, name, path = sys.argv[1:]
    report = Report(f"{name}, started")
    read = compose if name == "compose" else kubernetes
    started = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        secrets = make_secrets(folder)
        for workload, args, environment, files in read(path, secrets):
            root = folder / workload
            (root / "var/lib/vitrine").mkdir(parents=True)
            container = Container(root, args, environment, files, ("/etc/vitrine", "/var/lib/vitrine"))
            good = check_config(report, workload, vitrine, container, production=name == "production")
            if good and args[0] == "serve":
                check_boot(report, workload, vitrine, container)
            started += 1
    report.expect(started == len(SERVICES) + 1, f"only {started} processes were found")
    report.close(f"{started} processes take their configuration; services are alive and not ready without a database")


if __name__ == "__main__":
    main()
