from django.db import migrations

import django_sf_oauth.models.due_index
from django_sf_oauth.models.online_index import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):

    atomic = False  # PostgreSQL builds it beside a site that goes on

    dependencies = [
        ('django_sf_oauth', '0004_notices'),
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
