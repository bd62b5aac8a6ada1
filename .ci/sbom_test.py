"""The bill of materials: whole, valid, and the same each time."""

import importlib.util
import json
import os
import pathlib
import subprocess
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def made():
    return subprocess.run([ROOT / ".ci/sbom"], capture_output=True, text=True, check=True).stdout


class Bill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = made()
        cls.bill = json.loads(cls.text)
        cls.components = {c["name"]: c for c in cls.bill["components"]}

    def test_the_same_sources_give_the_same_bytes(self):
        self.assertEqual(self.text, made())

    def test_every_reference_is_to_something_and_there_are_no_twins(self):
        refs = [c["bom-ref"] for c in self.bill["components"]] + [self.bill["metadata"]["component"]["bom-ref"]]
        self.assertEqual(len(refs), len(set(refs)))
        edges = {d["ref"]: d["dependsOn"] for d in self.bill["dependencies"]}
        self.assertEqual(set(edges), set(refs))
        for needs in edges.values():
            self.assertLessEqual(set(needs), set(refs))
        # Everything is reached from the program: nothing is listed that is not in it.
        reached, left = set(), [self.bill["metadata"]["component"]["bom-ref"]]
        while left:
            ref = left.pop()
            if ref not in reached:
                reached.add(ref)
                left += edges[ref]
        self.assertEqual(reached, set(refs))

    def test_every_component_has_version_licence_and_checksum(self):
        for c in self.bill["components"]:
            self.assertTrue(c["version"] and c["licenses"], c)
            if c.get("purl", "").startswith("pkg:cargo/"):
                self.assertRegex(c["hashes"][0]["content"], "^[0-9a-f]{64}$")

    def test_c_sources_are_components_of_their_own(self):
        for name, floor in [("sqlite", (3, 51, 3)), ("aws-lc", (1, 0, 0)), ("mimalloc", (2, 0, 0))]:
            version = tuple(int(part) for part in self.components[name]["version"].split("."))
            self.assertGreaterEqual(version, floor, name)

    def test_what_is_linked_is_there_and_what_only_builds_or_tests_is_not(self):
        for name in ["tonic", "sqlx", "rustls", "aws-lc-rs", "tokio", "kit", "order"]:
            self.assertIn(name, self.components)
        for name in ["proptest", "testkit", "protox", "ring", "openssl"]:
            self.assertNotIn(name, self.components)
        locked = {p["name"] for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
        crates = {c["name"] for c in self.bill["components"] if not c["bom-ref"].startswith("pkg:generic/")}
        self.assertLessEqual(crates, locked)

    def test_it_is_what_the_schema_says(self):
        if importlib.util.find_spec("cyclonedx") is None:
            if os.environ.get("CI"):
                self.fail("cyclonedx-python-lib[json-validation] is not there; .ci/run installs it")
            self.skipTest("the schema comes with: pip install 'cyclonedx-python-lib[json-validation]'")
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_6).validate_str(self.text))


if __name__ == "__main__":
    unittest.main()
