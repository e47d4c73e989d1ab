"""The hot path, in Cython: bytes in, decisions asked of `proxy.core`, bytes out."""
