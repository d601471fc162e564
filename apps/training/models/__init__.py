"""Jobs, the models that they made, and the masked vectors of their attempts."""

from apps.training.models.job import DataDictionary, Job, ModelState
from apps.training.models.vector import MaskedVector, SumPart

__all__ = ["DataDictionary", "Job", "MaskedVector", "ModelState", "SumPart"]
