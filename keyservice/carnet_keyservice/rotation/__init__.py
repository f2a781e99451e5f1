"""Rotation: every job over all keys, in one order: write, read back, flip, grace, delete, destroy.

A job is a row that says how far it is. It goes from phase to phase (`conductor.py`); in a phase it walks over all
records, cut into shards that any number of workers take (`walk.py`). Nothing is written over: what a phase makes stands
beside what was there until the phase after the next removes that. So any process may die at any time, and whoever comes
next goes on from the rows.
"""
