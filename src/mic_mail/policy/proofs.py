"""Which tests prove which clause; written by tests/clauses.py from the tests themselves."""

from collections.abc import Mapping

PROOFS: Mapping[str, tuple[str, ...]] = {
    "2.3": ("tests/clients/test_states.py",),
    "2.4": ("tests/regulation/test_acts.py",),
    "2.5": ("tests/regulation/test_acts.py",),
    "2.6": (
        "tests/clients/test_ldap_programs.py",
        "tests/clients/test_thunderbird_directory.py",
        "tests/regulation/test_clause_2_6.py",
        "tests/unit/directory/test_repository.py",
        "tests/unit/web/test_carddav.py",
    ),
    "3.1": ("tests/clients/test_demo.py",),
    "3.2": (
        "tests/clients/test_cli.py",
        "tests/regulation/test_password_page.py",
    ),
    "4.1": (
        "tests/regulation/test_clause_4_1.py",
        "tests/regulation/test_markings_corpus.py",
    ),
    "4.2": (
        "tests/clients/test_smtp_messages.py",
        "tests/regulation/test_clause_4_1.py",
    ),
    "4.3": (
        "tests/regulation/test_clause_11_4.py",
        "tests/regulation/test_clause_12_3_b.py",
        "tests/regulation/test_clause_14_4.py",
        "tests/regulation/test_clause_4_3.py",
        "tests/regulation/test_clause_4_3_content.py",
    ),
    "5.1": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_5.py",
    ),
    "5.2": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_5.py",
        "tests/regulation/test_clause_6_2.py",
    ),
    "5.3": ("tests/regulation/test_clause_5.py",),
    "5.4.a": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_5.py",
        "tests/regulation/test_clause_6_2.py",
        "tests/regulation/test_clause_7_3_b.py",
    ),
    "5.4.b": (
        "tests/regulation/test_clause_5.py",
        "tests/regulation/year/test_year.py",
    ),
    "5.5": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_5_5.py",
    ),
    "6.1": (
        "tests/regulation/test_clause_14_4.py",
        "tests/regulation/test_clause_6_1.py",
        "tests/regulation/test_clause_6_1_commands.py",
        "tests/regulation/test_clause_6_2.py",
    ),
    "6.2": (
        "tests/regulation/test_clause_6_2.py",
        "tests/regulation/test_clause_6_2_mail.py",
        "tests/regulation/test_clause_6_2_outcomes.py",
        "tests/regulation/test_clause_7_3_b.py",
    ),
    "6.3": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_6_3.py",
    ),
    "6.4.a": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_6_2.py",
        "tests/regulation/test_password_page.py",
    ),
    "6.4.b": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_6_2.py",
        "tests/regulation/test_life_notices.py",
    ),
    "6.4.c": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_6_2.py",
        "tests/regulation/test_clause_6_4_c.py",
        "tests/regulation/test_clause_6_4_c_reclaim.py",
        "tests/regulation/test_password_page.py",
        "tests/regulation/year/test_year.py",
    ),
    "6.5": ("tests/regulation/test_acts.py",),
    "7.1": (
        "tests/clients/test_states.py",
        "tests/regulation/test_clause_7_1.py",
        "tests/regulation/test_clause_7_1_sessions.py",
        "tests/regulation/test_clause_7_2_c.py",
        "tests/regulation/test_password_page.py",
        "tests/regulation/year/test_year.py",
    ),
    "7.2.a": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_7_2_a.py",
        "tests/regulation/year/test_year.py",
    ),
    "7.2.b": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_7_2_b.py",
        "tests/regulation/year/test_year.py",
    ),
    "7.2.c": (
        "tests/clients/test_states.py",
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_14_4_register.py",
        "tests/regulation/test_clause_7_2_c.py",
        "tests/regulation/test_clause_7_2_c_sign_ins.py",
        "tests/regulation/year/test_year.py",
    ),
    "7.3.a": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_7_3_b.py",
    ),
    "7.3.b": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_calendar_commands.py",
        "tests/regulation/test_clause_7_3_b.py",
        "tests/regulation/year/test_year.py",
    ),
    "7.3.c": (
        "tests/clients/test_states.py",
        "tests/regulation/test_password_page.py",
        "tests/regulation/year/test_year.py",
    ),
    "8.1": (
        "tests/clients/test_pop3_programs.py",
        "tests/clients/test_thunderbird.py",
    ),
    "8.2": (
        "tests/regulation/test_clause_14_4.py",
        "tests/regulation/test_clause_8_2.py",
        "tests/unit/housekeeping/test_housekeeping.py",
        "tests/unit/log/test_retention.py",
    ),
    "8.3.a": ("tests/regulation/test_acts.py",),
    "8.3.b": (
        "tests/clients/test_bytes.py",
        "tests/clients/test_smtp_messages.py",
        "tests/clients/test_states.py",
        "tests/regulation/test_acts.py",
    ),
    "8.3.c": ("tests/unit/notices/test_notices.py",),
    "9.1": (
        "tests/clients/test_bytes.py",
        "tests/clients/test_smtp_messages.py",
    ),
    "9.2": (
        "tests/regulation/test_clause_9_2.py",
        "tests/unit/spool/test_spool.py",
    ),
    "10.1": (
        "tests/clients/test_cli.py",
        "tests/regulation/test_clause_14_4_register.py",
    ),
    "10.2": (
        "tests/clients/test_cli.py",
        "tests/regulation/test_acts.py",
    ),
    "10.3": (
        "tests/clients/test_browser.py",
        "tests/regulation/test_clause_10_3.py",
        "tests/regulation/test_clause_10_3_page.py",
        "tests/regulation/test_clause_14_4_register.py",
    ),
    "11.4": ("tests/regulation/test_clause_11_4.py",),
    "12.3": (
        "tests/regulation/test_clause_12_3.py",
        "tests/regulation/test_clause_12_3_d_commands.py",
    ),
    "12.3.a": (
        "tests/clients/test_shared_mailboxes.py",
        "tests/regulation/test_clause_12_3_a.py",
    ),
    "12.3.b": ("tests/regulation/test_clause_12_3_b.py",),
    "12.3.c": ("tests/regulation/test_clause_12_3_c.py",),
    "12.3.d": (
        "tests/faults/test_handover_processes.py",
        "tests/regulation/test_clause_12_3_d.py",
        "tests/regulation/test_clause_12_3_d_commands.py",
        "tests/regulation/test_clause_12_3_d_doors.py",
        "tests/regulation/test_clause_12_3_d_kills.py",
        "tests/regulation/test_clause_12_3_d_terms.py",
        "tests/regulation/test_clause_12_3_d_verify.py",
    ),
    "12.4": ("tests/regulation/test_clause_12_4.py",),
    "13.1": ("tests/unit/mime/test_compose.py",),
    "13.2": (
        "tests/clients/test_bytes.py",
        "tests/clients/test_ldap_programs.py",
        "tests/clients/test_pop3_programs.py",
        "tests/clients/test_thunderbird_directory.py",
    ),
    "14.3": (
        "tests/regulation/test_clause_14_6.py",
        "tests/regulation/test_clause_18.py",
        "tests/regulation/test_clause_6_1_commands.py",
    ),
    "14.4": (
        "tests/regulation/test_clause_14_4.py",
        "tests/regulation/test_clause_14_4_register.py",
    ),
    "14.6": (
        "tests/regulation/test_clause_14_6.py",
        "tests/regulation/test_clause_18.py",
    ),
    "15.2": (
        "tests/regulation/test_clause_15_2.py",
        "tests/regulation/test_clause_6_2.py",
        "tests/regulation/test_life_notices.py",
        "tests/regulation/test_password_page.py",
    ),
    "15.5": ("tests/clients/test_imap_libraries.py",),
    "16.1.b": (
        "tests/regulation/test_clause_12_4.py",
        "tests/regulation/test_clause_16_2.py",
    ),
    "16.1.c": ("tests/regulation/test_clause_16_2.py",),
    "16.2": (
        "tests/regulation/test_clause_14_4_register.py",
        "tests/regulation/test_clause_16_2.py",
    ),
    "16.3": (
        "tests/faults/test_syslog_kill.py",
        "tests/regulation/test_clause_14_4.py",
        "tests/regulation/test_clause_14_4_register.py",
        "tests/regulation/test_clause_16_3_syslog.py",
        "tests/unit/log/test_maillog.py",
    ),
    "16.5": ("tests/regulation/test_clause_4_3_content.py",),
    "17": ("tests/regulation/test_clause_14_4.py",),
    "18": ("tests/regulation/test_clause_18.py",),
}
