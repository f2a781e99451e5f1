"""`python -m carnet_vault`."""

from carnet_vault.cli import main

if __name__ == "__main__":
    main()
