"""Vector instructions: the only place of this package that asks what the CPU has and names its instructions."""
