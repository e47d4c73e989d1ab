"""The `serinus` command. Nothing imports it."""
