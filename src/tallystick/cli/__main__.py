"""`python -m tallystick.cli`."""

from tallystick.cli.main import main

main()
