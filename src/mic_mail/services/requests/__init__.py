"""Requests to the Centre (Reg. 6.2): forms, the register, approval, mail and reminders.

form             a table or an option list becomes a `Filing`, or a refusal with its clause
register         the requests on record with their deadlines; the steps without an act of this server
approve          an approval: the act itself, done once in spite of kills
submitted_by     the mailbox from which a delivered message was submitted
intake           mail to the Centre with the form attached
mail_reply       the answer to such a mail
outcome_notices  answers to units and the Centre
overdue          a reminder of overdue requests, once a working day
"""
