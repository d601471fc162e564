from django.apps import AppConfig


class FederationConfig(AppConfig):
    name = "apps.federation"
    label = "federation"
    verbose_name = "Federation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.budgets.reconcile import attempts_from
        from apps.federation import openapi  # noqa: F401  (registers itself)
        from apps.federation.selectors.charges import charges_known

        attempts_from(charges_known)
