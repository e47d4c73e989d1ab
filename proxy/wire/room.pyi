# Used by the listener only.
