"""A checkout only: makes the package for MWAA (`make package`) and uploads it (`make deploy`)."""
