"""`GET /v1/service-card`."""

from types import NoneType

from carnet_protocol.api import CardView
from carnet_server.calls import OpenCall
from carnet_server.deployment import Deployment
from carnet_server.routes import Router


def make_service_card_router(deployment: Deployment) -> Router:
    """The route, which answers with the card of `deployment`."""
    router = Router()
    card = CardView(card=deployment.card.text)

    @router.open("GET", "/v1/service-card", body=NoneType, body_limit_bytes=0, answer=CardView, errors=())
    async def read_service_card(call: OpenCall[None]) -> CardView:
        """The service card. A client compares it with the card key that it has pinned."""
        del call
        return card

    return router
