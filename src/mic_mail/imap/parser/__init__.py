"""IMAP on the wire, from octets to values: what a client may write, and the commands that it makes. Pure.

reader                 octets as they come, into commands, messages of APPEND, lines; literals bounded by the state
lexer                  atoms, strings, literals, lists of one complete command
syntax                 the table of commands, and the arguments of those on the session
mailboxsyntax          arguments of the commands on mailboxes
fetchsyntax searchsyntax
commands mailboxcommands fetchitems searchkeys sequence     the values; `rules`: what each command may do
mutf7                  names of mailboxes in modified UTF-7
"""
