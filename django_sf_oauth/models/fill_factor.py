"""A migration that keeps room in each page of a table, for the rows that are written anew."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation

__all__ = ["SetFillFactor"]


class SetFillFactor(Operation):
    """PostgreSQL writes a row anew in the same page, and no index, if there is room and no index has what changed.

    Pages that are there already stay as they are; what is deleted or written anew makes room in them, too. The
    table can be read and written meanwhile. Other databases write in place.

    Args:
        model_name: of a model of the app.
        percent: of each page that new rows fill.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, percent: int) -> None:
        self.model_name, self.percent = model_name, percent

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Django does not know of it."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._alter(app_label, schema_editor, to_state, f"SET (fillfactor = {self.percent:d})")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._alter(app_label, schema_editor, from_state, "RESET (fillfactor)")

    def describe(self) -> str:
        return f"Keep room in the pages of {self.model_name}"

    def _alter(self, app_label: str, schema_editor: Any, state: Any, what: str) -> None:
        model, connection = state.apps.get_model(app_label, self.model_name), schema_editor.connection
        if connection.vendor == "postgresql" and self.allow_migrate_model(connection.alias, model):
            schema_editor.execute(f"ALTER TABLE {connection.ops.quote_name(model._meta.db_table)} {what}")
