"""The notices that the server writes by itself.

Each is one function with typed parameters, which is also its row of the catalogue.

notice.py             the types of a notice and its text
    mailbox.py            to the owner of a mailbox: issue, quota, suspension, restoration, passwords, absence, transfer
    leavers.py            about leavers: locks, reclaims, archives
    announcements.py      downtime to everybody, mail that waits for an answer
    requests.py           about requests: the result of a form, overdue requests
    delegation.py         about the keepers of unit mailboxes
    unit_mail.py          about the care of unit mailboxes
    secrecy.py            about messages marked as secret
    quarantine.py         about mail in quarantine
    delivery_reports.py   about the delivery of sent mail
    centre.py             to the Information Centre
    catalogue.py          all of them by name; a new module is named there

To add one, write a function with `@notice(...)` in the module it belongs to, and call it from the sending service.
"""
