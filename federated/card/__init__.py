"""The model card, made of a job's record alone."""
