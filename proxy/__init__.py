"""The data plane: takes requests, splits them among versions, counts what became of them."""
