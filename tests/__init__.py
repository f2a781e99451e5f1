"""The tests of Carnet. A package, so that no other `tests` on the path can take the place of `tests.support`."""
