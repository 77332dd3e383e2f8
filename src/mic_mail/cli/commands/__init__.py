"""The commands: a module for each noun, or for a group of verbs of a noun that has many.

`cli.nouns.NOUNS` names the modules of each noun; they are imported when it is typed.
"""
