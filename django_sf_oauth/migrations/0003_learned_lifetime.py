from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('django_sf_oauth', '0002_holds_and_fleet_guard'),
    ]

    operations = [
        migrations.AddField(
            model_name='salesforceconnection',
            name='learned_lifetime',
            field=models.DurationField(editable=False, null=True, verbose_name='session lifetime, as refusals taught'),
        ),
        migrations.AddField(
            model_name='salesforceconnection',
            name='slides',
            field=models.BooleanField(db_default=True, default=True, editable=False),
        ),
        migrations.AddField(
            model_name='salesforceconnection',
            name='told_lifetime',
            field=models.DurationField(editable=False, null=True, verbose_name='session lifetime, as Salesforce says'),
        ),
    ]
