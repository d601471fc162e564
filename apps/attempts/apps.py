from django.apps import AppConfig


class AttemptsConfig(AppConfig):
    name = "apps.attempts"
    label = "attempts"
    verbose_name = "Attempts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.attempts import openapi  # noqa: F401  (registers itself)
        from apps.attempts.selectors.charges import charges_known
        from apps.budgets.reconcile import attempts_from

        attempts_from(charges_known)
