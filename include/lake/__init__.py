"""The lake: landing events, sample data, and what the warehouse knows of its partitions."""
