"""Where the reference files lie, which are not part of a checkout."""

from __future__ import annotations

import os
from pathlib import Path

from include.settings import ROOT

REFERENCE_DATA = Path(os.environ.get("REFERENCE_DATA") or ROOT.parent / "shared" / "data")
"""The folder that the variable REFERENCE_DATA names, by default one beside the checkout."""
