"""The index that the sweep reads."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

__all__ = ["DueIndex"]


class DueIndex(models.Index):
    """Leaves out the rows whose first field is null, where the database has conditional indexes.

    Django's own index with a `condition` is the same, but has the system checks warn everybody on MariaDB.
    """

    def create_sql(self, model: type[models.Model], schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        condition = Q(**{f"{self.fields[0]}__isnull": False})
        index = models.Index(fields=self.fields, name=self.name, condition=condition)
        return index.create_sql(model, schema_editor, using, **kwargs)
