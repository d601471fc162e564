"""The transport to the coordinator and its API as typed calls."""
