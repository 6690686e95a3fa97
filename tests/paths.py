"""Where the checkout lies, and the files in it that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"  # written by the first version of each format; never edited
SHARED = ROOT.parent / "shared"  # real data beside the checkout, where there is any
