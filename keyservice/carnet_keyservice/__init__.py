"""The key service: keeps sealed patient keys and the outer half of each document's lock; never sees ciphertext.

It releases outer locks to whom the patient's grants let in, only after writing it down (spec `api.md`, "Routes of the
key service"). It can open none of the patient keys that it keeps.
"""
