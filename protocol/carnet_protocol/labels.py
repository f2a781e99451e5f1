"""Every label for key derivation, hashing and associated data (spec `keys.md`, "Labels"). Each is used in one place."""

from typing import Final

# Names and fingerprints
DOCUMENT_ID: Final = b"carnet/v1/document-id"
KEY_FINGERPRINT: Final = b"carnet/v1/key-fingerprint"
SHORT_CODE: Final = b"carnet/v1/short-code"

# What is bound where
IDENTITY_TUPLE: Final = b"carnet/v1/identity-tuple"
CONTENT_CONTEXT: Final = b"carnet/v1/content-context"
METADATA_CONTEXT: Final = b"carnet/v1/metadata-context"
INNER_LOCK: Final = b"carnet/v1/inner-lock"
OUTER_LOCK: Final = b"carnet/v1/outer-lock"
PERSONAL_INNER_LOCK: Final = b"carnet/v1/personal-inner-lock"
PERSONAL_OUTER_LOCK: Final = b"carnet/v1/personal-outer-lock"
SEALED_COMPARTMENT_KEY: Final = b"carnet/v1/sealed-compartment-key"
COMPARTMENT_NAME: Final = b"carnet/v1/compartment-name"
READERS_OPENING: Final = b"carnet/v1/readers-opening"
GRANT_NOTE: Final = b"carnet/v1/grant-note"

# Commitments
READERS_COMMITMENT: Final = b"carnet/v1/readers-commitment"
RECOVERY_COMMITMENT: Final = b"carnet/v1/recovery-commitment"
EVENT_COMMITMENT: Final = b"carnet/v1/event-commitment"
EVENT_LEAF: Final = b"carnet/v1/event-leaf"

# Keys of a person, derived from the recovery secret or the account key
RECOVERY_ROOT_SEED: Final = b"carnet/v1/recovery/root-seed"
RECOVERY_SLOT_KEY: Final = b"carnet/v1/recovery/slot-key"
ACCOUNT_KEM_SEED: Final = b"carnet/v1/account/kem-seed"
PREVIOUS_ACCOUNT_KEY: Final = b"carnet/v1/account/previous"
RECOVERY_SLOT: Final = b"carnet/v1/recovery/slot"
PASSPHRASE_SLOT_KEY: Final = b"carnet/v1/keyring/passphrase-slot-key"
RECOVERY_WORDS_SLOT_KEY: Final = b"carnet/v1/keyring/recovery-slot-key"
PRF_SLOT_KEY: Final = b"carnet/v1/keyring/prf-slot-key"
KEYRING_SLOT: Final = b"carnet/v1/keyring/slot"
KEYRING_BODY_KEY: Final = b"carnet/v1/keyring/body-key"
KEYRING_BODY: Final = b"carnet/v1/keyring/body"
DEVICE_NAME_KEY: Final = b"carnet/v1/device-name-key"
DEVICE_NAME: Final = b"carnet/v1/device-name"
LOCAL_STATE_KEY: Final = b"carnet/v1/local-state-key"
LOCAL_STATE: Final = b"carnet/v1/local-state"
DEVICE_PAIRING: Final = b"carnet/v1/device-pairing"
PAIRING_DEVICE_SEED: Final = b"carnet/v1/device-pairing/device-seed"
PAIRING_KEM_SEED: Final = b"carnet/v1/device-pairing/kem-seed"

# The key service at rest
RECORD_LOCK_AT_REST: Final = b"carnet/v1/at-rest/record-lock"
MASTER_KEY_CHECK: Final = b"carnet/v1/at-rest/master-key-check"
MASTER_KEY_WRAP: Final = b"carnet/v1/at-rest/master-key-wrap"
