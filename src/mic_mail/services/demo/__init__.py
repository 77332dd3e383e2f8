"""The demonstration server: a small ministry with one mailbox in each state, and mail to read.

For the command `demo` and tests only.
"""
