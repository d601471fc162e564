from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("budgets", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="ledgerreport",
            name="differences",
            field=models.JSONField(default=list, help_text="from the receipts accepted here"),
        ),
    ]
