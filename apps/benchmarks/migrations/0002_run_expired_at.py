from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("benchmarks", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="expired_at",
            field=models.DateTimeField(
                blank=True, help_text="when submissions and noise were deleted", null=True
            ),
        ),
    ]
