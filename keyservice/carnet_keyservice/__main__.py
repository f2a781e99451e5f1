"""`python -m carnet_keyservice`."""

from carnet_keyservice.cli import main

main()
