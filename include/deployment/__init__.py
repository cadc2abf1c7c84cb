"""A checkout only: builds the images and the MWAA package and brings them to AWS."""
