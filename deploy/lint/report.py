"""What the checks of this folder share: they collect what is wrong, say all of it, and exit accordingly."""

import sys


class Report:
    """Collects findings about one thing."""

    def __init__(self, subject):
        self.subject = subject
        self.findings = []

    def expect(self, holds, finding):
        """Notes the finding unless it holds; tells whether it does."""
        if not holds:
            self.findings.append(finding)
        return bool(holds)

    def close(self, summary):
        """Says how it went, and ends the program."""
        for finding in self.findings:
            print(f"{self.subject}: {finding}", file=sys.stderr)
        if self.findings:
            sys.exit(1)
        print(f"{self.subject}: {summary}")
