"""Requests to the Centre (Reg. 6.2): read from forms, filed, answered, come by mail, reminded of.

form       a table or an option list becomes a `Filing`, or a refusal with its clause
register   what is on record with its deadline; the steps that need no act of this server
acting     approving: the act itself, once, whoever is killed in between
submitted  whose mailbox a delivered message was submitted from
intake     mail to the Centre with the form attached
reminding  what is overdue, once a working day
"""
