"""Values of cells that an error message may quote: with quotes, line breaks and engine's words."""

from __future__ import annotations

import re

from hypothesis import strategies as st

SECRETS = ("Frieda", "Zoltan", "O'Hara", "4000123456", "1987-04-23", "frieda@example.org", "Żółć")
"""Personal data, which each value contains."""
PIECES = (
    *("'", '"', "''", '""', "`", "\\", "(", ")", "=(", ")=(", "{", "}", "[", ",", ";", ":"),
    *("\n", "\r\n", "\t", "\u2028", "\\u0027", "\\n", "%", "$", "#"),
    *(" to INT32", "Original Line: ", "Key (", "line 7", "error: ", "LINE 1: ", "null", "Got 3"),
    *("' to INT32 when ", '", expected format is ', "\nerror: ", " with value ", "value: '"),
)
VALUES = st.tuples(
    st.lists(st.sampled_from([*PIECES, *SECRETS]), max_size=6),
    st.sampled_from(SECRETS),
    st.lists(st.sampled_from([*PIECES, *SECRETS]), max_size=6),
).map(lambda parts: "".join([*parts[0], parts[1], *parts[2]]))
"""Cells with at least one of the `SECRETS`."""


def remains(text: str, value: str) -> list[str]:
    """Return the parts of the secrets of a value that a text still contains."""
    parts = {part for secret in SECRETS if secret in value for part in re.findall(r"\w+", secret)}
    return sorted(part for part in parts if len(part) > 3 and part in text)
