"""The Python code of the package; include/README.md lists which environment runs which folder."""
