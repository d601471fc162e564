"""What the parties of a round compute, without I/O: the same code at sites, portal and verifier."""
