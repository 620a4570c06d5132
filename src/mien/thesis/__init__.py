"""The configuration of the thesis that mien starts from, made of mien's own parts. See docs/thesis.md."""
