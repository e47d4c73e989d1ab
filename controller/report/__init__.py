"""The report of a rollout: one HTML page that needs nothing but itself.

Pure: takes an account and a series, gives text. Must not read a clock, a file of the rollout or the network.

`page` puts it together; `panels` says what is drawn, `chart` draws it, `scales` lays values out, `told` writes the
decisions down, `markup` makes sure that no name or reason is ever taken for markup.
"""
