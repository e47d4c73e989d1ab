"""What can go wrong with a benchmark. Every message says what to do or where to look."""


class BenchFault(Exception):
    """The root: the benchmark, or a part of it, gave no valid result."""


class Missing(BenchFault):
    """A program that the benchmark needs is not there and could not be got."""


class Invalid(BenchFault):
    """A measurement was made but must not be used, or its proxy did not start or do its job."""


class OursFailed(BenchFault):
    """Our own proxy gave no valid measurement, so there is nothing to compare anyone with."""
