"""Migrations that build and drop an index of a live site.

PostgreSQL does so beside the writers if it is asked to, MariaDB in any case, and SQLite has one writer anyway.
Django's own operations for this can only be imported where psycopg is installed.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

__all__ = ["AddIndexOnline", "RemoveIndexOnline"]


class AddIndexOnline(migrations.AddIndex):
    """Its migration has to be `atomic = False`. On PostgreSQL one that was interrupted can be run again."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        _add(self, to_state.apps.get_model(app_label, self.model_name), schema_editor, self.index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        _remove(self, from_state.apps.get_model(app_label, self.model_name), schema_editor, self.index)


class RemoveIndexOnline(migrations.RemoveIndex):
    """Its migration has to be `atomic = False`."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        index = from_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        _remove(self, from_state.apps.get_model(app_label, self.model_name), schema_editor, index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        index = to_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        _add(self, to_state.apps.get_model(app_label, self.model_name), schema_editor, index)


def _add(operation: Any, model: type[models.Model], schema_editor: Any, index: models.Index) -> None:
    if operation.allow_migrate_model(schema_editor.connection.alias, model):
        options = _options(schema_editor)
        if options:  # what an attempt has left behind that was interrupted is there, and not valid
            schema_editor.remove_index(model, index, **options)
        schema_editor.add_index(model, index, **options)


def _remove(operation: Any, model: type[models.Model], schema_editor: Any, index: models.Index) -> None:
    if operation.allow_migrate_model(schema_editor.connection.alias, model):
        schema_editor.remove_index(model, index, **_options(schema_editor))


def _options(schema_editor: Any) -> dict[str, bool]:
    return {"concurrently": True} if schema_editor.connection.vendor == "postgresql" else {}
