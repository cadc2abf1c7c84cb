"""A checkout only: builds the images and the package for MWAA, and brings them to AWS."""
