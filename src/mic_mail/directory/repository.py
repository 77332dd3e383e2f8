"""The directory in its database: units, people, mailboxes, aliases, credentials, facts.

Synchronous; for the command line, the use cases and the workers' lanes. Every change is one transaction that raises
`version()`; facts are only ever appended.
"""
