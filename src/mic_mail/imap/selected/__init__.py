"""The selected mailbox as a client knows it, and data shared by sessions at one state of a folder.

No commands.
"""
