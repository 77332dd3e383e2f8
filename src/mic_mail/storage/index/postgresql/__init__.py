"""Indexes of many accounts in one PostgreSQL, for the nodes of a cluster; nothing else imports psycopg.

database     one process's connections: reading, snapshot, a change that holds its account
connection   one connection, which runs the statements of an index
removal      all rows of an account, in pieces, from whatever tables there are
creation     tables of a new database, and the version of one that exists
hints        what has changed just now, told to other servers
failures     PostgreSQL's errors as the store's own
"""
