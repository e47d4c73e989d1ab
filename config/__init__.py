"""The vocabulary that proxy and controller share: model, parsing, loading, schema. Imports nothing of ours."""
