"""The command `tally`, a file per noun."""
