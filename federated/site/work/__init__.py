"""The agent's tasks, a file each."""
