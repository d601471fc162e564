from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    name = "apps.benchmarks"
    label = "benchmarks"
    verbose_name = "Benchmarks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.attempts.played import play
        from apps.benchmarks.services.played import CAMPAIGNS
        from federated.protocol.kinds.benchmark import BENCHMARK

        play(BENCHMARK, CAMPAIGNS)
