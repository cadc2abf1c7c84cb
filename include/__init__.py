"""Everything that runs in Python: settings, the lake, the warehouse, the DAG's building blocks."""
