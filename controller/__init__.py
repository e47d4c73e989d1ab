"""The rollout controller: observe, analyse, decide, act. Meets the proxy over HTTP only."""
