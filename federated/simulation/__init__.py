"""The whole protocol in process: real sites, a coordinator in memory, faults by a seed."""
