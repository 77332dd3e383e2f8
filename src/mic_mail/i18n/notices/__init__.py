"""Every notice that the server writes by itself: one function each, of typed parameters, that is also its row of the catalogue.

    notice.py      what a notice and its letter are
    mailbox.py     to the owner of a mailbox: issue, quota, suspension, restoration, passwords, absence, transfer
    leavers.py     of leavers: locks, reclaims, archives
    announcements.py      downtime to everybody, mail that waits for an answer
    requests.py    of requests: what became of a form, what is overdue
    centre.py      to the Information Centre
    catalogue.py   all of them by name; a new module is named there

To add one: a function with `@notice(...)` in the module it belongs to, and whoever sends it calls it.
"""
