# The frames of a tunnel are followed by the other compiled modules only; tests see them through tunnels.
