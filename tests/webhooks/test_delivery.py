"""Deliveries: what arrives, what is tried again, what is given up, and what is taken by it."""

from tests.support.webhooks import Bench, Receiver


def test_a_request_arrives_signed_and_is_taken(site: Bench, receiver: Receiver) -> None:
    webhook = site.register(receiver, events=["action.requested"])
    (asked,) = site.request("one")
    assert site.work() == 1
    (message,) = receiver.received
    assert message.document["type"] == "action.requested"
    assert message.document["data"]["external_id"] == "user-1"
    assert message.document["data"]["position"] == asked
    assert site.action(asked)["state"] == "taken"
    (delivery,) = site.deliveries(webhook)
    assert (delivery["state"], delivery["tries"], delivery["status"]) == ("delivered", 1, 200)
    assert delivery["message"] == message.headers["webhook-id"]
    assert site.work() == 0
