# Called from the other compiled modules only.
