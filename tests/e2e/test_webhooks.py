"""Webhooks of GitHub and Stripe, signed as the providers sign, read back through Kafka."""
import hashlib
import hmac
import json
import time
import uuid

import pytest
import requests
import stripe
from conftest import EXAMPLES, SECRETS

GITHUB_SECRET = SECRETS["GITHUB_WEBHOOK_SECRET"]
STRIPE_SECRET = SECRETS["STRIPE_WEBHOOK_SECRET"]


def github_headers(body, event="push", delivery=None, secret=GITHUB_SECRET):
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery or str(uuid.uuid4())}


def stripe_headers(body, at=None, secret=STRIPE_SECRET):
    """The header as Stripe's own SDK computes it."""
    at = int(at if at is not None else time.time())
    signature = stripe.WebhookSignature._compute_signature(f"{at}.{body.decode()}", secret)
    return {"Stripe-Signature": f"t={at},v1={signature}"}


def stored_payload(message):
    """The provider's bytes inside a stored webhook event: the last field, exactly as received."""
    before, found, after = message.value().partition(b'"payload":')
    assert found and after.endswith(b"}"), message.value()
    json.loads(message.value())
    return after[:-1]


@pytest.mark.short
def test_github_delivery_is_stored_byte_for_byte(server):
    body = b'{ "zen" : "Keep it  logically awesome.",\t"n": 1.50e2, "\xc3\xa9": "\\u00e9" }'
    reply = server.post("/webhooks/github", body, github_headers(body, "ping", "d-1"))
    assert reply.status_code == 200, reply.text
    assert reply.json()["lsn"] == 0
    (message,) = server.consume()
    event = json.loads(message.value())
    assert stored_payload(message) == body
    assert event["type"] == "webhook.github.ping"
    assert event["source"] == "github" and event["deliveryId"] == "d-1"
    headers = dict(message.headers())
    assert headers["type"] == b"webhook.github.ping" and headers["source"] == b"github"


def test_every_published_github_example(server):
    sent = []
    session = requests.Session()
    for kind in json.loads(EXAMPLES.read_text()):
        for number, example in enumerate(kind["examples"]):
            # Both spellings of JSON that providers use: compact and indented.
            body = json.dumps(example, ensure_ascii=False, indent=None if number % 2 else 2).encode()
            headers = {"Content-Type": "application/json", **github_headers(body, kind["name"])}
            reply = session.post(server.url("/webhooks/github"), data=body, headers=headers, timeout=30)
            assert reply.status_code == 200, f"{kind['name']} {number}: {reply.text}"
            sent.append((f"webhook.github.{kind['name']}", body))
    assert len(sent) > 300
    got = [(json.loads(m.value())["type"], stored_payload(m)) for m in server.consume()]
    assert got == sent


@pytest.mark.short
def test_redelivery_is_a_success_and_stored_once(server):
    body = b'{"action":"opened"}'
    first = server.post("/webhooks/github", body, github_headers(body, delivery="same"))
    again = server.post("/webhooks/github", body, github_headers(body, delivery="same"))
    assert first.status_code == again.status_code == 200
    assert again.json()["deduplicated"] is True and again.json()["lsn"] == first.json()["lsn"]
    server.restart(kill=True)
    after = server.post("/webhooks/github", body, github_headers(body, delivery="same"))
    assert after.status_code == 200 and after.json()["deduplicated"] is True
    assert len(server.consume()) == 1


def test_a_delivery_id_of_one_provider_does_not_block_another(server):
    body = b'{"id":"evt_1","type":"invoice.paid"}'
    assert server.post("/webhooks/github", body, github_headers(body, delivery="evt_1")).status_code == 200
    reply = server.post("/webhooks/stripe", body, stripe_headers(body))
    assert reply.status_code == 200 and "deduplicated" not in reply.json()
    assert len(server.consume()) == 2


@pytest.mark.parametrize("change, code", [
    (lambda h: h.update({"X-Hub-Signature-256": "sha256=" + "0" * 64}), "INVALID_SIGNATURE"),
    (lambda h: h.update({"X-Hub-Signature-256": "sha256=zz"}), "INVALID_SIGNATURE"),
    (lambda h: h.update({"X-Hub-Signature-256": "md5=00"}), "INVALID_SIGNATURE"),
    (lambda h: h.pop("X-Hub-Signature-256"), "MISSING_HEADERS"),
])
def test_a_wrong_github_signature_is_refused(server, change, code):
    body = b'{"action":"opened"}'
    headers = github_headers(body)
    change(headers)
    reply = server.post("/webhooks/github", body, headers)
    assert reply.status_code == 401, reply.text
    assert reply.json()["code"] == code
    assert server.consume() == []


def test_a_changed_body_is_refused(server):
    headers = github_headers(b'{"amount":1}')
    assert server.post("/webhooks/github", b'{"amount":2}', headers).status_code == 401
    assert server.consume() == []


@pytest.mark.short
def test_stripe_signature_and_tolerance(server):
    body = b'{"id":"evt_1","object":"event","type":"invoice.paid"}'
    now = time.time()
    stale = server.post("/webhooks/stripe", body, stripe_headers(body, now - 301))
    assert stale.status_code == 401 and stale.json()["code"] == "TIMESTAMP_EXPIRED"
    future = server.post("/webhooks/stripe", body, stripe_headers(body, now + 310))
    assert future.status_code == 401 and future.json()["code"] == "TIMESTAMP_EXPIRED"
    wrong = server.post("/webhooks/stripe", body, stripe_headers(body, now, "whsec_other"))
    assert wrong.status_code == 401 and wrong.json()["code"] == "INVALID_SIGNATURE"
    assert server.consume() == []
    assert server.post("/webhooks/stripe", body, stripe_headers(body, now - 290)).status_code == 200
    again = server.post("/webhooks/stripe", body, stripe_headers(body, now))
    assert again.status_code == 200 and again.json()["deduplicated"] is True
    (message,) = server.consume()
    assert json.loads(message.value())["type"] == "webhook.stripe.invoice.paid"
    assert json.loads(message.value())["deliveryId"] == "evt_1"
    assert stored_payload(message) == body


def test_secrets_rotate(make_server):
    server = make_server("--dev", env={"GITHUB_WEBHOOK_SECRET": "new-secret old-secret"})
    body = b'{"a":1}'
    for secret, status in (("new-secret", 200), ("old-secret", 200), ("new-secret old-secret", 200), ("older", 401)):
        assert server.post("/webhooks/github", body, github_headers(body, secret=secret)).status_code == status, secret


def test_bodies_that_are_no_json_object(server):
    for body in (b"", b"{bad", b'"text"', b"[1]", b'{"a":"\xff"}', b"[" * 100_000):
        reply = server.post("/webhooks/github", body, github_headers(body))
        assert reply.status_code == 400, (body[:20], reply.text)
        assert reply.json()["code"] == "INVALID_JSON"
    form = b"payload=%7B%7D"
    headers = {**github_headers(form), "Content-Type": "application/x-www-form-urlencoded"}
    assert server.post("/webhooks/github", form, headers).status_code == 415
    assert server.consume() == []


def test_unknown_provider_and_unset_secret(make_server):
    server = make_server("--dev", env={"STRIPE_WEBHOOK_SECRET": ""})
    reply = server.post("/webhooks/gitea", b"{}")
    assert reply.status_code == 400 and reply.json()["code"] == "UNSUPPORTED_PROVIDER"
    reply = server.post("/webhooks/stripe", b"{}", stripe_headers(b"{}"))
    assert reply.status_code == 503 and reply.json()["code"] == "SECRET_NOT_CONFIGURED"


def test_other_addresses_of_the_webhook_door(server):
    body = b'{"a":1}'
    assert server.post("/webhooks?provider=github", body, github_headers(body)).status_code == 200
    host = {"Host": "webhooks.example.com"}
    assert server.post("/github", body, {**github_headers(body), **host}).status_code == 200
    assert len(server.consume()) == 2
