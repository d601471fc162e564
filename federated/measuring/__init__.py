"""Measuring a workload honestly, at a site: what ``federated bench run`` does."""

from federated.measuring.energy import EnergyMeter, Method, meter_for
from federated.measuring.machine import machine_facts
from federated.measuring.measurement import Measurement, measure, measure_command

__all__ = [
    "EnergyMeter",
    "Measurement",
    "Method",
    "machine_facts",
    "measure",
    "measure_command",
    "meter_for",
]
