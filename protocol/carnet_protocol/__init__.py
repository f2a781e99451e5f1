"""The words that all parts of Carnet share: ids, suites, labels, limits, statements, API models, error codes.

No I/O, no encryption. The specification is in `protocol/spec/`; each module names its section.
"""
