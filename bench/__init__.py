"""Speed, memory and disk, each beside its ceiling measured in the same run; `python -m bench [NAME...]`."""
