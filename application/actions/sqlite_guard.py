"""What SQL on SQLite may not do: reach other files, load code, or change what all of this process shares."""

from __future__ import annotations

import sqlite3

_NOWHERE = ("", ":memory:")
_SETTING = (
    "analysis_limit application_id automatic_index auto_vacuum case_sensitive_like collation_list compile_options"
    " data_version database_list defer_foreign_keys encoding foreign_key_check foreign_key_list foreign_keys freelist_count"
    " function_list ignore_check_constraints incremental_vacuum index_info index_list index_xinfo integrity_check journal_mode"
    " legacy_alter_table locking_mode module_list optimize page_count pragma_list query_only quick_check read_uncommitted"
    " recursive_triggers reverse_unordered_selects secure_delete synchronous table_info table_list table_xinfo user_version"
    " wal_autocheckpoint wal_checkpoint"
)
"""PRAGMAs that tell, and those that set what belongs to the database itself."""
_TELLING = "busy_timeout cache_size max_page_count page_size schema_version temp_store"
"""Those that may be asked and not set."""
_FUNCTIONS = ("load_extension", "fts3_tokenizer")


class Guard:
    """The authorizer of a connection: SQLite asks it while it compiles a statement, before anything runs."""

    def __init__(self) -> None:
        self.refused: str | None = None
        """What was refused last, and why."""

    def __call__(self, action: int, first: str | None, second: str | None, database: str | None, inner: str | None) -> int:
        """SQLITE_OK or SQLITE_DENY."""
        self.refused = self._refusal(action, first, second) or self.refused
        return sqlite3.SQLITE_DENY if self.refused else sqlite3.SQLITE_OK

    def _refusal(self, action: int, first: str | None, second: str | None) -> str | None:
        if action == sqlite3.SQLITE_ATTACH and first not in _NOWHERE:
            return "ATTACH and VACUUM INTO open another file: a step works on the database of its connection"
        if action == sqlite3.SQLITE_PRAGMA:
            name = (first or "").lower()
            if name not in _SETTING.split() and (name not in _TELLING.split() or second is not None):
                return f"PRAGMA {name} is not allowed in a step"
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
            return f"the function {second} is not allowed in a step"
        return None
