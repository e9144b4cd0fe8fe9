"""`lstm-research check`: is every YAML sound?"""

import argparse
from collections import Counter

from lstm_research.check import Finding, check
from lstm_research.commands import FAILED


def main(arguments: list[str]) -> int:
    """Compose, build and shape-check every YAML and study."""
    argparse.ArgumentParser("lstm-research check", description=main.__doc__).parse_args(arguments)
    findings: list[Finding] = []
    for finding in check():
        findings.append(finding)
        print(f"{finding.verdict:<8} {finding.name:<28} {finding.detail}")
    counts = Counter(finding.verdict for finding in findings)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return FAILED if counts["fault"] else 0
