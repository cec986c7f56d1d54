"""`tally`: the command line, a file per noun.

Rules of this room:

- Its files parse and print; what they do is done by the sdk, the node or the checker.
- Nothing heavy is imported before a command runs: `tally --help` answers at once.
- What other organisations wrote is printed without control characters: a title cannot move the cursor.
- Exit codes: 0 done; 1 refused, or verification failed; 2 bad usage; 3 node or network trouble. Errors are one line on
  stderr, with a remedy; never a stack trace.
"""
