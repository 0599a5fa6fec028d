"""`python -m esr_client.cli`."""

from esr_client.cli import main

main()
