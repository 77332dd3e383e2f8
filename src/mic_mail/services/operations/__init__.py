"""The running of the server: periodic jobs, certificates, DNS and DKIM, the log and its collectors.

Also the text index, downtimes and incidents (Reg. 10.2, 10.3, 14.4, 16.3).
"""
