"""The decisions of the data plane, pure: no IO, clock, randomness, logging or async."""
