"""The commands: one module for each noun of the command line, or for each group of verbs of a noun that has many.

`cli.main.NOUNS` names the modules of each noun and imports them when the noun is typed, so that no command pays for the
others. There are as many modules as that takes.
"""
