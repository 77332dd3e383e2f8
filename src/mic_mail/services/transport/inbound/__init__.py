"""Mail from other servers, between its last octet and the promise to keep it: whether it is taken, and where it goes.

Each check is a room of its own that answers with a `CheckResult`; `judging` asks them in order and joins what they say.
"""
