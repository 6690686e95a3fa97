"""Locate the checkout and the files in it that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"  # each file comes from the first version of its format; never edit it
SHARED = ROOT.parent / "shared"  # real data beside the checkout, if present
