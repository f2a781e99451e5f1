"""Bytes under opaque names, on one local disk or in an S3 bucket. `Store` is the contract; README.md tells the rest.

    create_filesystem_store(root)
    store: Store = FilesystemStore(root, TransferUrls(origin, UrlSecret(secret)))
    upload = store.begin_upload(make_object_name(), size_bytes=size, part_bytes=MIN_PART_BYTES)
    urls = [store.put_url(upload, part, now=now, ttl_seconds=600) for part in range(1, upload.part_count + 1)]
    ...  # a client sends the parts
    store.finish_upload(upload)

The S3 store is in `carnet_storage.s3`, so that only a deployment that has a bucket loads boto3.
"""

from carnet_storage.errors import (
    AlreadyExists,
    InvalidName,
    InvalidUpload,
    NoSpace,
    NotFound,
    ObjectNotFound,
    RangeNotSatisfiable,
    SizeMismatch,
    StorageError,
    StoreUnavailable,
    UploadIncomplete,
    UploadNotFound,
    UrlRefused,
)
from carnet_storage.filesystem import FilesystemStore, create_filesystem_store
from carnet_storage.names import ObjectName, make_object_name
from carnet_storage.part_writer import PartWriter
from carnet_storage.port import MAX_PAGE, MAX_URL_SECONDS, ObjectReader, Store, StoredObject
from carnet_storage.ranges import ByteRange, parse_range
from carnet_storage.uploads import (
    MAX_OBJECT_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MIN_PART_BYTES,
    PendingUpload,
    Upload,
)
from carnet_storage.urls import MIN_SECRET_BYTES, OBJECTS_PATH, PutPermit, TransferUrls, UrlSecret

__all__ = [
    "MAX_OBJECT_BYTES",
    "MAX_PAGE",
    "MAX_PARTS",
    "MAX_PART_BYTES",
    "MAX_URL_SECONDS",
    "MIN_PART_BYTES",
    "MIN_SECRET_BYTES",
    "OBJECTS_PATH",
    "AlreadyExists",
    "ByteRange",
    "FilesystemStore",
    "InvalidName",
    "InvalidUpload",
    "NoSpace",
    "NotFound",
    "ObjectName",
    "ObjectNotFound",
    "ObjectReader",
    "PartWriter",
    "PendingUpload",
    "PutPermit",
    "RangeNotSatisfiable",
    "SizeMismatch",
    "StorageError",
    "Store",
    "StoreUnavailable",
    "StoredObject",
    "TransferUrls",
    "Upload",
    "UploadIncomplete",
    "UploadNotFound",
    "UrlRefused",
    "UrlSecret",
    "create_filesystem_store",
    "make_object_name",
    "parse_range",
]
