"""The demonstration: four hospitals train one model, and the coordinator turns evil."""
