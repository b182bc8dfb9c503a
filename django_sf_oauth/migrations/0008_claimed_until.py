from django.db import migrations, models

from django_sf_oauth.models.fill_factor import SetFillFactor


class Migration(migrations.Migration):

    dependencies = [
        ('django_sf_oauth', '0007_hold_set_by'),
    ]

    operations = [
        migrations.AddField(
            model_name='salesforceconnection',
            name='claimed_until',
            field=models.DateTimeField(editable=False, null=True),
        ),
        SetFillFactor('salesforceconnection', 75),
    ]
