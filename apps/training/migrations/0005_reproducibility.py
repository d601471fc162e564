from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0004_retention"),
    ]

    operations = [
        migrations.AddField(
            model_name="round",
            name="reproducibility",
            field=models.JSONField(help_text="by what the release was computed", null=True),
        ),
    ]
