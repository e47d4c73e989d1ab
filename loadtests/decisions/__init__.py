"""The benchmark of decisions: rules that roll back or promote, on the same simulated traffic."""
