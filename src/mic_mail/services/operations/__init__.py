"""The running of the server: what is done again and again, certificates, DNS and DKIM, the log and who gets it,
the text index, downtimes and incidents (Reg. 10.2, 10.3, 14.4, 16.3).
"""
