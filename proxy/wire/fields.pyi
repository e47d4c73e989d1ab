# The scanners are called from the other compiled modules only; tests reach them through proxy.wire.inspect.
