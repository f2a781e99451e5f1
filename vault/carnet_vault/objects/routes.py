"""`PUT` and `GET /v1/objects/{name}`: for whoever holds a URL that is good now, and for nobody else."""

import asyncio

from fastapi import Response
from fastapi.concurrency import run_in_threadpool

from carnet_protocol.errors import ErrorCode
from carnet_server.calls import StreamCall
from carnet_server.errors import BadRequestError
from carnet_server.routes import Router
from carnet_storage import MAX_PART_BYTES, FilesystemStore, PartWriter, TransferUrls
from carnet_vault.objects.answer import ObjectAnswer
from carnet_vault.objects.limits import TRANSFER_SECONDS
from carnet_vault.objects.take import take_part
from carnet_vault.refusals import store_refusals


def make_objects_router(store: FilesystemStore, urls: TransferUrls) -> Router:
    """The routes behind the URLs of `urls`. Queries are read undecoded: the parameters are there to be documented."""
    router = Router()

    @router.stream(
        "PUT",
        "/v1/objects/{name}",
        body_limit_bytes=MAX_PART_BYTES,
        answer=Response,
        errors=(ErrorCode.REFUSED, ErrorCode.CONFLICT),
    )
    async def put_object(
        call: StreamCall,
        name: str,
        *,
        upload: str = "",
        part: str = "",
        offset: str = "",
        size: str = "",
        expires: str = "",
        signature: str = "",
    ) -> Response:
        """Take the bytes of one part, exactly as many as the URL says. When this answers, they are durable."""
        del upload, part, offset, size, expires, signature

        def begin() -> PartWriter:
            now = call.read(lambda _, now: now)
            with store_refusals():
                permit = urls.authorize_put(name, _query(call), content_length=_content_length(call), now=now)
                return store.open_part(permit)

        writer = await run_in_threadpool(begin)
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                await take_part(call.stream(), writer)
        except TimeoutError as error:
            raise BadRequestError("transfer_too_slow") from error
        return Response()

    @router.stream(
        "GET",
        "/v1/objects/{name}",
        body_limit_bytes=0,
        answer=ObjectAnswer,
        errors=(ErrorCode.REFUSED,),
    )
    def get_object(call: StreamCall, name: str, expires: str = "", signature: str = "") -> ObjectAnswer:
        """The object, or the one range of it that a Range header asks for."""
        del expires, signature
        now = call.read(lambda _, now: now)
        with store_refusals():
            reader = store.open_object(urls.authorize_get(name, _query(call), now=now))
        return ObjectAnswer(reader, call.request.headers.get("range"))

    return router


def _query(call: StreamCall) -> str:
    query: bytes = call.request.scope["query_string"]
    return query.decode("ascii")


def _content_length(call: StreamCall) -> int | None:
    text = call.request.headers.get("content-length", "")
    return int(text) if text.isdigit() else None
