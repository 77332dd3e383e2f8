"""The commands: a module for each noun, or for each group of verbs of a noun that has many.

`cli.main.NOUNS` names the modules of each noun and imports them when the noun is typed, so that no command pays for the
others. There are as many modules as that takes.
"""
