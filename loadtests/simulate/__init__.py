"""`serinus simulate`: the rollout policy of a file on simulated traffic, beside the rules of others."""
