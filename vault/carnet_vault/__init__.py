"""The vault: keeps ciphertext and capsules and decides who may fetch which. It never sees a key."""
