"""Freezes the summaries of all scenarios, or of those named, as they are now; the series over time are left out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sim import read_scenario, run

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def main() -> None:
    """Write each summary beside its scenario."""
    for path in sorted(SCENARIOS.glob("*.yaml")):
        if path.stem in sys.argv[1:] or not sys.argv[1:]:
            told = {name: value for name, value in run(read_scenario(path)).data.items() if name != "series"}
            path.with_suffix(".expected.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
            print(path.stem, flush=True)


if __name__ == "__main__":
    main()
