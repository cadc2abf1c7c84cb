"""The PostgreSQL protocol, version 3, as redshift_connector and psycopg2 use it with Redshift.

A session reads the client's messages up to the next Sync, Query or Terminate and translates them.
If the translation needs names or a plan, the session first sends queries of its own to PostgreSQL,
in the client's transaction. Only then it sends the translated messages. Therefore no statement of
the client runs while the session sends its own queries.

| file | what it does |
|---|---|
| `server.py`, `login.py` | accept clients, and log them in |
| `session.py` | handles the messages of a client after the login |
| `translating.py` | writes a statement's text for PostgreSQL |
| `channels.py`, `messages.py` | connect the two sides of a session; encode and decode messages |
| `history.py` | keeps the log of statements |
"""
