"""Who may ask what: no key, bad keys, roles, scopes; for every route that there is."""

import re

from tallystick.api import routes
from tallystick.api.access import Gate
from tests.support.deals import DATASET, PURPOSE, agree, ask, offer
from tests.support.office_api import ALL_ROLES, NodeApi
from tests.support.offices import DAY, HOUR
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY


def address(route):
    """Return the path of a route with something in its places."""
    return re.sub(r"{\w+(:\w+)?}", "x", route.path)


def problem(answer, status, error):
    """Check that an answer is a refusal in the one form, and return it."""
    body = answer.json()
    assert (status, error) == (answer.status_code, body["error"]), answer.text
    assert body["message"]
    assert body["remedy"]
    assert "Traceback" not in answer.text
    return body


def send(client, route, **options):
    """Ask a route, with an empty object as body where it takes one."""
    body = {} if route.body is None else {"json": {}}
    return client.request(route.method, address(route), **body, **options)


async def test_nothing_without_a_key(api):
    """Every route refuses a request without a key in the same words, before it looks at anything else."""
    async with api.client(key="") as nobody:
        for route in routes.ALL:
            answer = await send(nobody, route)
            problem(answer, 401, "api_key_refused")
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert "no-store" == answer.headers["cache-control"]


async def test_role_is_needed_where_a_route_names_one(api):
    """A key that holds every role but those that a route names is refused there; elsewhere it comes further."""
    for route in routes.ALL:
        others = [role for role in ALL_ROLES if role not in route.roles]
        async with api.client(*others) as client:
            answer = await send(client, route)
        if route.roles:
            assert route.roles[0] in problem(answer, 403, "access")["message"]
        else:
            assert 403 != answer.status_code, route.path


def test_whatever_acts_names_a_role():
    """No route that changes something is open to every key."""
    assert [] == [route.path for route in routes.ALL if route.acts and not route.roles]


BAD_HEADERS = (
    "",
    "Bearer",
    "Bearer ",
    "Basic dGFsbHk6c2VjcmV0",
    "Bearer tally_00000000_" + "0" * 52,
    "Bearer nothing_at_all_like_one",
    "Bearer \xff\xfe",
    "Bearer " + "a" * 5_000,
    "Bearer tally__",
    "tally_00000000_" + "0" * 52,
)


async def test_bad_keys(api):
    """Whatever is not a good key is answered alike, and never says in which way it is wrong."""
    async with api.client(key="") as client:
        for header in BAD_HEADERS:
            answer = await client.get("/v1/status", headers={"Authorization": header.encode("latin-1")})
            problem(answer, 401, "api_key_refused")


async def test_key_with_one_wrong_character(api):
    """A secret is right or wrong as a whole."""
    secret = api.secret("service")
    for position in (6, 10, len(secret) - 1):
        wrong = secret[:position] + ("0" if secret[position] != "0" else "1") + secret[position + 1 :]
        async with api.client(key=wrong) as client:
            problem(await client.get("/v1/status"), 401, "api_key_refused")


async def test_expired_and_revoked_keys(api, zone):
    """A key ends at its end and at its revocation, from that very request on."""
    secret = api.secret("service", expires=zone.clock.now + HOUR)
    async with api.client(key=secret) as client, api.client("security") as officer:
        assert 200 == (await client.get("/v1/status")).status_code
        zone.clock.advance(HOUR)
        assert "expired" in problem(await client.get("/v1/status"), 401, "api_key_refused")["message"]
        zone.clock.advance(-HOUR)
        identifier = secret.split("_")[1]
        revoked = await officer.delete(f"/v1/keys/{identifier}")
        assert "revoked" == revoked.json()["status"]
        assert "revoked" in problem(await client.get("/v1/status"), 401, "api_key_refused")["message"]
        problem(await officer.delete("/v1/keys/nothing"), 404, "not_found")


async def test_revoked_while_it_is_used(api, zone):
    """A key that revokes itself has asked its last question."""
    secret = api.secret("security")
    async with api.client(key=secret) as client:
        assert 200 == (await client.delete(f"/v1/keys/{secret.split('_')[1]}")).status_code
        problem(await client.get("/v1/keys"), 401, "api_key_refused")


async def test_keys_are_made_listed_and_never_shown_again(api):
    """A secret is in the answer that made it and nowhere else."""
    async with api.client("security") as officer:
        made = await officer.post("/v1/keys", json={"name": "notebook", "roles": ["service"], "scopes": [DATASET]})
        assert 201 == made.status_code
        secret = made.json()["secret"]
        listed = await officer.get("/v1/keys")
        assert secret not in listed.text
        assert {"notebook", "test"} == {key["name"] for key in listed.json()}
    async with api.client(key=secret) as client:
        assert 200 == (await client.get("/v1/status")).status_code
        problem(await client.get("/v1/keys"), 403, "access")


BAD_KEYS = (
    {"roles": []},
    {"roles": ["admin"]},
    {"scopes": []},
    {"name": ""},
    {"name": " "},
    {"name": "a" * 81},
    {"expires": 1},
    {"expires": 2**53 - 1},
    {"name": "line\nbreak"},
)


async def test_keys_that_cannot_be_made(api):
    """No key without role, scope, name or end in the future."""
    async with api.client("security") as officer:
        for changes in BAD_KEYS:
            answer = await officer.post("/v1/keys", json={"name": "n", "roles": ["service"]} | changes)
            assert answer.status_code in (400, 422), changes
            assert answer.json()["remedy"]


async def test_narrow_key_makes_no_wide_one(api):
    """A key for some datasets makes and revokes no keys: that would widen it."""
    async with api.client("security", scopes=[f"{HOSPITAL}/*"]) as officer:
        problem(await officer.post("/v1/keys", json={"name": "n", "roles": ["service"]}), 403, "access")
        problem(await officer.delete("/v1/keys/whatever"), 403, "access")


async def test_scopes_cover_datasets_by_name_and_prefix(api, zone, table):
    """A key reads everything, and acts on the datasets that its scopes name and no others."""
    await offer(zone, table)
    await offer(zone, table, name="other")
    mine, other = await ask(zone), await ask(zone, dataset=f"{HOSPITAL}/other")
    for scope in (DATASET, f"{HOSPITAL}/dis*"):
        async with api.client("service", scopes=[scope]) as client:
            assert 200 == (await client.get(f"/v1/requests/{other.id}")).status_code
            body = problem(await client.post(f"/v1/requests/{other.id}/approve"), 403, "access")
            assert f"{HOSPITAL}/other" in body["message"]
            problem(await client.delete(f"/v1/datasets/{HOSPITAL}/other"), 403, "access")
            problem(await client.patch(f"/v1/datasets/{HOSPITAL}/other", json={"title": "x"}), 403, "access")
            problem(await client.get(f"/v1/datasets/{HOSPITAL}/other/preview"), 403, "access")
            problem(await client.post("/v1/evidence", json={"paths": ["/data"]}), 403, "access")
            offering = {"source": str(table), "name": "third", "title": "T", "field": "health"}
            problem(await client.post("/v1/datasets", json=offering), 403, "access")
    async with api.client("service", scopes=[DATASET]) as client:
        assert 200 == (await client.post(f"/v1/requests/{mine.id}/approve")).status_code


async def test_scopes_hold_for_agreements_and_deliveries(api, zone, table):
    """Ending an agreement, fetching under it and reading what came are bound to its dataset too."""
    await offer(zone, table)
    agreement = await agree(zone)
    theirs = NodeApi(zone.nodes[UNIVERSITY])
    fetched = await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    await zone.settle()
    async with theirs.client("service", scopes=[f"{BANK}/*"]) as client:
        for answer in (
            await client.post(f"/v1/agreements/{agreement.id}/terminate", json={"why": "x"}),
            await client.post("/v1/deliveries", json={"what": agreement.id}),
            await client.post("/v1/deliveries", json={"what": DATASET}),
            await client.get(f"/v1/deliveries/{fetched.delivery}/files"),
            await client.get(f"/v1/deliveries/{fetched.delivery}/content", params={"file": "discharges.csv"}),
            await client.post(f"/v1/deliveries/{fetched.delivery}/dispute", json={"why": "x"}),
            await client.post("/v1/requests", json={"dataset": DATASET, "purpose": PURPOSE}),
        ):
            problem(answer, 403, "access")
    assert "in_force" == zone[UNIVERSITY].agreements.show(agreement.id).state


async def test_job_belongs_to_the_key_that_began_it(api, zone, table):
    """Another key of the same node is not told of it, nor that it exists."""
    offering = {"source": str(table), "name": "discharges", "title": "T", "field": "health"}
    async with api.client() as one, api.client() as two:
        job = (await one.post("/v1/datasets", json=offering)).json()["id"]
        problem(await two.get(f"/v1/jobs/{job}"), 404, "not_found")
        assert "done" == (await one.get(f"/v1/jobs/{job}", params={"wait": 10})).json()["state"]
        problem(await one.get("/v1/jobs/job-nothing"), 404, "not_found")


async def test_health_needs_no_key_and_says_nothing_secret(api):
    """Alive and ready are for everybody; metrics and the description are not."""
    async with api.client(key="") as nobody:
        assert {"status": "alive"} == (await nobody.get("/healthz")).json()
        ready = (await nobody.get("/readyz")).json()
        assert {"status", "troubles", "height", "lag"} == set(ready)
        problem(await nobody.get("/metrics"), 401, "api_key_refused")
        problem(await nobody.get("/v1/openapi.json"), 401, "api_key_refused")
        problem(await nobody.post("/v1/transactions", content=b"x"), 401, "api_key_refused")


async def test_observer_hands_in_no_transactions(api):
    """Reading is all that an observer does."""
    async with api.client("observer") as client:
        problem(
            await client.post("/v1/transactions", content=b"x", headers={"Content-Type": "application/cbor"}),
            403,
            "access",
        )


async def test_a_days_old_key_still_works(api, zone):
    """The default key lives 90 days and not a moment longer."""
    secret = api.secret("service")
    async with api.client(key=secret) as client:
        zone.clock.advance(90 * DAY - 1)
        assert 200 == (await client.get("/v1/status")).status_code
        zone.clock.advance(1)
        assert 401 == (await client.get("/v1/status")).status_code


def test_gate_takes_the_scheme_in_any_case():
    """`bearer` is `Bearer` (RFC 9110: schemes are case-insensitive)."""
    seen = []
    gate = Gate(lambda key: seen.append(key) or "principal")
    for header in ("Bearer abc", "bearer abc", "BEARER  abc"):
        assert "principal" == gate.who(header)
    assert ["abc"] * 3 == seen
