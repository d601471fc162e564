from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    name = "apps.benchmarks"
    label = "benchmarks"
    verbose_name = "Benchmarks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.benchmarks.selectors.campaigns import campaigns_under
        from apps.benchmarks.selectors.charges import charges_known
        from apps.benchmarks.selectors.inbox import tasks_of
        from apps.benchmarks.services.campaigns import campaigns_end_under
        from apps.budgets.reconcile import attempts_from
        from apps.training.selectors.inbox import tasks_from
        from apps.training.services.keys import KeyUsers, key_users_from

        attempts_from(charges_known)
        key_users_from(KeyUsers(campaigns_under, campaigns_end_under))
        tasks_from(tasks_of)
