"""The PostgreSQL protocol, version 3, as redshift_connector and psycopg2 speak it to Redshift.

A session takes what the client sends up to the next Sync, Query or Terminate, translates it, asks
PostgreSQL itself what it must know first (names, plan), and only then passes it on. So nothing of
the client's is under way while the session talks to PostgreSQL for itself, in the client's own
transaction.

| file | does |
|---|---|
| `server.py`, `login.py` | accepts clients, and logs them in |
| `session.py` | what a client then sends, and what it is answered |
| `translating.py` | a statement's text for PostgreSQL |
| `channels.py`, `messages.py` | the two sides of a session, and what they say |
| `history.py` | the log of statements |
"""
