"""The release command, tried on a copy: it must see every kind of broken word."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONTRACT = "proto/vitrine/order/v1/order.proto"


class Release(unittest.TestCase):
    def setUp(self):
        self.copy = pathlib.Path(tempfile.mkdtemp(prefix="vitrine-release-"))
        self.addCleanup(shutil.rmtree, self.copy)
        files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in files.splitlines():
            if name.startswith(("proto/", ".ci/", "CHANGELOG", "Cargo")) or "/migrations/" in name or name.endswith("Cargo.toml"):
                target = self.copy / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        text = (self.copy / "CHANGELOG.md").read_text()
        if "## Unreleased\n\n## " in text:
            self.edit("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n- Something new.\n")
        for manifest in self.copy.glob("*/*/Cargo.toml"):
            (manifest.parent / "src").mkdir(exist_ok=True)
            (manifest.parent / "src/lib.rs").touch()

    def edit(self, name, old, new):
        path = self.copy / name
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1))

    def release(self, *args):
        return subprocess.run([self.copy / ".ci/release", *args], capture_output=True, text=True)

    def refused(self, word, *args):
        done = self.release(*args)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(word, done.stderr)

    def test_what_was_released_passes(self):
        done = self.release("--check")
        self.assertEqual(done.returncode, 0, done)

    def test_a_field_taken_away_is_named(self):
        self.edit(CONTRACT, "  bool has_contact = 19;", "")
        self.refused("has_contact", "--check")
        self.refused("has_contact", "99.0.0")

    def test_a_field_of_another_type_is_named(self):
        self.edit(CONTRACT, "  bool has_contact = 19;", "  string has_contact = 19;")
        self.refused("has_contact", "--check")

    def test_a_released_migration_stays_as_it_is(self):
        name = "services/order/migrations/sqlite/0001_order.sql"
        (self.copy / name).write_text((self.copy / name).read_text() + "-- later thought\n")
        self.refused(name, "--check")
        (self.copy / name).unlink()
        self.refused(name, "--check")

    def test_a_release_renews_the_image_and_the_changelog(self):
        self.edit(CONTRACT, "  bool has_contact = 19;", "  bool has_contact = 19;\n  // A word more.\n  string another_word = 90;")
        self.assertEqual(self.release("--check").returncode, 0)
        done = self.release("99.0.0")
        self.assertEqual(done.returncode, 0, done)
        changelog = (self.copy / "CHANGELOG.md").read_text()
        self.assertIn("## Unreleased\n\n## 99.0.0 (", changelog)
        self.assertIn("- Added field `vitrine.order.v1.Order.another_word`", changelog)
        self.assertIn('version = "99.0.0"', (self.copy / "Cargo.toml").read_text())
        self.edit(CONTRACT, "  string another_word = 90;", "")
        self.refused("another_word", "--check")
        self.refused("is empty", "99.1.0")

    def test_a_break_on_purpose_needs_a_major_version(self):
        self.edit(CONTRACT, "  bool has_contact = 19;", "")
        self.refused("major version", "0.1.99", "--breaking")
        done = self.release("99.0.0", "--breaking")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("### Breaks of contracts", (self.copy / "CHANGELOG.md").read_text())

    def test_versions_go_up(self):
        self.refused("does not come after", "0.0.1")
        self.refused("is no version", "soon")


if __name__ == "__main__":
    unittest.main()
