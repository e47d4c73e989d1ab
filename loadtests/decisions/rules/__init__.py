"""The rules that are compared: Serinus', and those of others as their sources have them."""
