"""AWS: templates, policies and the state machine, and a look at whether an account is complete."""
