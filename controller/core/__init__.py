"""The decisions of the controller, pure: no IO, clock, randomness, logging or async."""
