from django.db import migrations

import django_sf_oauth.models.due_index


class Online:
    """PostgreSQL builds and drops the index beside the work of a live site: a table of a million rows is locked
    for no moment. MariaDB does so by itself; SQLite has one writer anyway."""

    atomic = False

    @staticmethod
    def options(schema_editor):
        return {'concurrently': True} if schema_editor.connection.vendor == 'postgresql' else {}

    def add(self, app_label, schema_editor, state, index):
        model = state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            options = self.options(schema_editor)
            if options:
                # What an attempt left behind that was interrupted is there, and not valid.
                schema_editor.remove_index(model, index, **options)
            schema_editor.add_index(model, index, **options)

    def remove(self, app_label, schema_editor, state, index):
        model = state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.remove_index(model, index, **self.options(schema_editor))


class AddIndexOnline(Online, migrations.AddIndex):
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self.add(app_label, schema_editor, to_state, self.index)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self.remove(app_label, schema_editor, from_state, self.index)


class RemoveIndexOnline(Online, migrations.RemoveIndex):
    def index_in(self, state, app_label):
        return state.models[app_label, self.model_name_lower].get_index_by_name(self.name)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self.remove(app_label, schema_editor, from_state, self.index_in(from_state, app_label))

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self.add(app_label, schema_editor, to_state, self.index_in(to_state, app_label))


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('django_sf_oauth', '0002_holds_and_fleet_guard'),
    ]

    operations = [
        AddIndexOnline(
            model_name='salesforceconnection',
            index=django_sf_oauth.models.due_index.DueIndex(fields=['next_refresh_at', 'id'], name='sf_oauth_due_first'),
        ),
        RemoveIndexOnline(
            model_name='salesforceconnection',
            name='sf_oauth_due',
        ),
    ]
