"""Checks of mail from other servers, between its last octet and durable acceptance.

They decide whether a message is accepted and where it goes. Each check is a module of its own that returns a
`CheckResult`; `message_checks` runs them in order and combines the results.
"""
