"""What a browser is told before anybody signs in: public things only."""

from tests.api.conftest import Client
from tests.conftest import SETTINGS


async def test_a_browser_learns_keys_and_addresses_and_no_secret(client: Client):
    response = await client.get("/api/config")
    assert response.status_code == 200
    body = response.json()
    assert body["environment"] == "test"
    assert body["stripe_publishable_key"] == SETTINGS["STRIPE_PUBLISHABLE_KEY"]
    assert body["frontend_url"] == SETTINGS["FRONTEND_URL"]
    assert body["api_url"] == body["realtime_url"] == "http://localhost:8000"
    assert body["socketio_transports"] == ["polling", "websocket"]
    assert "USD" in body["currencies"]
    for name in ("SECRET_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_CONNECT_WEBHOOK_SECRET"):
        assert SETTINGS[name] not in response.text
