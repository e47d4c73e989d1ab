"""Load, measured: demo services, load shapes and the benchmark against other proxies."""
