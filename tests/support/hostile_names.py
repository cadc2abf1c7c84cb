"""Names with which somebody could try to leave the folder DOCS."""

from __future__ import annotations

OUTSIDE = (
    *("../secret", "runs/../../secret", "runs/..", "..", ".", "", "/etc/passwd", "//etc/passwd"),
    *("runs//a", "runs/", "/", "runs\\..\\..\\secret", "..\\secret", "%2e%2e/secret"),
    *("./index.html", "runs/.hidden", ".hidden/a", "index.html\x00", "index.html\x00.txt"),
    *("index.html\n", "\x7f", "runs/a/index.html/more", "\udcff"),
    *("a" * 300, "a/" * 600 + "a", "é" * 600),
)
"""Names that are no published file."""
