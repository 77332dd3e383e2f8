"""The grounds on which the tests of the rules run, and the tests of these modules that are about files, with what they need.

A test of another module of this folder is about one machine: its files, its journal, its maintenance.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from mic_mail.clock import Clock, SystemClock
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.types import StorageSettings
from store_harness import REF

Result = TypeVar("Result")

ON_BOTH = {
    "test_account",
    "test_backup",
    "test_change_result",
    "test_cross_account",
    "test_folders",
    "test_fulltext_file",
    "test_metadata",
    "test_quota",
    "test_reader_seen",
    "test_replace",
    "test_search",
    "test_sort_values",
    "test_view_cache",
}
"""Modules whose tests run on both grounds."""
NAMES = "names of files"
SIDECARS = "sidecars"
OTHERS = "files that another tool changes"
INDEX = "an index that is a file"
MARKS = "change marks, which are a file"
SEARCH = "a search file"
LOCAL_ONLY = {
    "test_restored_files_can_be_used_without_root": NAMES,
    "test_delivery_lands_in_cur_as_received": NAMES,
    "test_a_view_is_of_its_snapshot_whoever_looks_meanwhile": OTHERS,
    "test_names_follow_flags": NAMES,
    "test_a_locked_account_keeps_no_other_accounts_names_back": NAMES,
    "test_a_message_is_found_where_its_path_has_changed": NAMES,
    "test_linked_delivery_shares_the_file": NAMES,
    "test_tmp_that_is_removed_beside_us_is_made_again": OTHERS,
    "test_a_folder_that_is_removed_beside_us_is_gone": OTHERS,
    "test_a_new_keyword_in_a_folder_that_is_removed_does_not_stop_the_mailbox": OTHERS,
    "test_directories_of_inbox_that_are_removed_beside_us_are_made_again": OTHERS,
    "test_quota_at_rest_of_a_sound_index": INDEX,
    "test_quota_at_rest_of_what_has_no_store": INDEX,
    "test_quota_at_rest_where_only_opening_can_tell": INDEX,
    "test_who_cannot_be_remembered_now_is_shown_the_common_state": INDEX,
    "test_back_to_one_for_all_leaves_no_sidecars": SIDECARS,
    "test_readers_are_written_down": SIDECARS,
    "test_the_files_alone_give_it_back": SIDECARS,
    "test_a_power_loss": INDEX,
    "test_an_index_of_another_version_is_rebuilt": INDEX,
    "test_a_power_loss_takes_no_answered_change_with_it": SIDECARS,
    "test_a_sidecar_that_somebody_has_written_chooses_no_words_of_ours": SIDECARS,
    "test_repair_brings_lost_sidecars_back": SIDECARS,
    "test_keys_that_are_damaged_are_made_again": SEARCH,
    "test_an_index_in_which_folders_have_other_numbers": INDEX,
    "test_a_new_word_is_read_up_to_its_first_occurrence": SEARCH,
    "test_the_beginnings_of_texts_are_those_of_the_whole_flow": SEARCH,
    "test_a_damaged_piece_answers_nothing": SEARCH,
    "test_a_write_within_a_tick_of_the_clock_is_indexed": SEARCH,
    "test_a_long_log_is_left_by_who_reads_it_and_found": SEARCH,
    "test_a_segment_that_lacks_a_part_is_damage": SEARCH,
    "test_the_text_of_what_is_gone_leaves_the_file": SEARCH,
    "test_what_was_swept_after_the_last_visit_leaves_too": SEARCH,
    "test_a_file_of_another_version_is_made_anew": SEARCH,
    "test_a_file_of_another_version_is_not_damaged": SEARCH,
    "test_a_file_of_another_program_is_damage": SEARCH,
    "test_an_indexer_notices_that_somebody_threw_the_file_away": SEARCH,
    "test_repair_says_that_it_is_damaged": SEARCH,
    "test_a_schema_that_is_no_text_is_damage": SEARCH,
    "test_a_backup_has_none_and_a_restored_mailbox_gets_one": SEARCH,
    "test_the_file_outlives_the_index": INDEX,
    "test_what_cannot_be_opened_is_read": SEARCH,
    "test_nobody_hears_of_a_change_that_did_not_happen": INDEX,
    "test_what_changes_nothing_writes_nothing": INDEX,
    "test_flags_of_a_folder_in_memory_are_not_read_again": INDEX,
    "test_no_view_of_a_replaced_index_is_built_upon": INDEX,
    "test_a_known_folder_is_opened_without_the_index": MARKS,
    "test_a_file_that_another_tool_puts_into_new_is_there_at_once": OTHERS,
    "test_the_loop_opens_a_known_folder_without_a_thread": MARKS,
    "test_a_name_leads_to_the_folder_that_has_it_now": MARKS,
    "test_no_sweep_takes_old_messages_that_are_on_their_way": NAMES,
    "test_what_is_remembered_is_what_the_index_tells": MARKS,
    "test_who_is_behind_by_more_than_is_kept_has_to_ask": MARKS,
    "test_nothing_is_said_once_another_process_has_changed_anything": MARKS,
    "test_where_each_reader_has_their_own_seen_nothing_is_remembered_for_all": MARKS,
    "test_a_delivery_copies_no_large_folder_for_who_may_listen": MARKS,
    "test_a_mailbox_issued_again_is_not_taken_for_the_deleted_one": INDEX,
}
"""Tests of these modules that stay on one machine."""


@dataclass
class DatabaseRoot:
    """A database with one account; `use` gives it to a new process, as it were."""

    connection_string: str
    folder: Path
    """Of what a server keeps beside the database."""
    clock: Clock = field(default_factory=SystemClock)
    settings: dict[str, object] = field(default_factory=dict)
    changes: list[tuple[int, int]] = field(default_factory=list)
    most: int = 1
    """Connections of a process: one suffices for everything."""

    def store(self) -> DatabaseMailStore:
        settings = {name: value for name, value in self.settings.items() if name != "boot_id"}
        return DatabaseMailStore(
            Database(self.connection_string, most=self.most),
            clock=self.clock,
            host="mail.mic.gov.vn",
            changes=self.folder / "changes",
            settings=StorageSettings(**settings),  # type: ignore[arg-type]  # each test names its own
            on_change=lambda account_id, modseq: self.changes.append((account_id, modseq)),
        )

    def use(self, act: Callable[[DatabaseAccount], Result]) -> Result:
        with closing(self.store()) as store:
            return act(store.account(REF))

    def lose_store(self) -> None:
        """All of the account is gone."""
        self.clear()

    def files(self) -> list[Path]:
        return []

    def set_aside(self) -> list[str]:
        """The names of what restores have replaced."""
        rows = self.rows(f"SELECT since_us FROM generation WHERE mailbox_id = {REF.account_id} AND state = 'replaced'")
        return [f"{REF.home}.replaced-{since_us}" for (since_us,) in rows]

    def lose_index(self) -> None:
        """Nothing happens: the rows are all there is, and survive what takes an index away from files."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.connection_string) as driver:
            return driver.execute(query.encode()).fetchall()

    def staged(self) -> list[Path]:
        """Nothing: they are in memory, or in files without a name."""
        return []

    def index_copy(self) -> dict[str, bytes]:
        return {}

    def power_loss(self, index: dict[str, bytes]) -> None:
        """Nothing happens, likewise: what was answered is durable."""

    def clear(self) -> None:
        """Remove every row."""
        tables = [*schema.metadata.sorted_tables, *schema.in_postgresql.sorted_tables]
        with psycopg.connect(self.connection_string, autocommit=True) as driver:
            driver.execute("; ".join(f"DELETE FROM {table.name}" for table in tables))
