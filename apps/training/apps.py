from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "apps.training"
    label = "training"
    verbose_name = "Training"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.attempts.played import play
        from apps.training.services.played import JOBS
        from federated.protocol.kinds.evaluation import EVALUATION
        from federated.protocol.kinds.training import TRAINING

        play(TRAINING, JOBS)
        play(EVALUATION, JOBS)
