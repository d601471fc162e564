from django.db import migrations, models


def _of_confirmed(apps, schema_editor):
    # Two is what an anchor waited for when it was confirmed.
    if schema_editor.connection.schema_name == "public":
        anchors = apps.get_model("provenance", "Anchor").objects
        anchors.filter(state="confirmed").update(confirmations=2)


class Migration(migrations.Migration):
    dependencies = [("provenance", "0003_witnesses")]

    operations = [
        migrations.AddField(
            model_name="anchor",
            name="confirmations",
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="anchor",
            name="failing_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunPython(_of_confirmed, migrations.RunPython.noop),
    ]
