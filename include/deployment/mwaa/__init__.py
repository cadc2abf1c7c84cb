"""The package as MWAA takes it: made by `make package`, brought there by `make deploy`."""
