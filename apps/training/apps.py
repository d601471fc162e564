from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "apps.training"
    label = "training"
    verbose_name = "Training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.budgets.reconcile import attempts_from
        from apps.training import openapi  # noqa: F401  (registers itself)
        from apps.training.selectors.charges import charges_known

        attempts_from(charges_known)
