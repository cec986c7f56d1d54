"""A zone of real nodes: every step from the invitation to the data, with a member that nobody can connect to among them."""

import csv

import pytest

from tallystick.codec import encode_json
from tallystick.modules import rulebook
from tallystick.node.inspection import check
from tallystick.proofs.receipts import verify_receipt
from tallystick.proofs.trust import TrustFile
from tallystick.store import LedgerStore
from tests.support.nodes import join_zone, make_zone, wait_for

pytestmark = pytest.mark.timeout(240)
HOSPITAL, UNIVERSITY, BANK = "city-hospital", "river-university", "harbour-bank"
PURPOSE = "A study of readmissions that nobody else need know of"


@pytest.fixture(scope="module")
def zone(tmp_path_factory):
    """The hospital orders; the university has no open port; the bank can be reached. All run until the module's end."""
    folder = tmp_path_factory.mktemp("zone")
    nodes = {}
    try:
        nodes[HOSPITAL] = make_zone(folder, HOSPITAL).start()
        nodes[UNIVERSITY] = join_zone(folder, nodes[HOSPITAL], UNIVERSITY, reachable=False)
        nodes[BANK] = join_zone(folder, nodes[HOSPITAL], BANK)
        yield nodes
    finally:
        for node in nodes.values():
            node.stop()


@pytest.fixture
def apis(zone):
    opened = {name: node.api() for name, node in zone.items()}
    yield opened
    for api in opened.values():
        api.__exit__()


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "discharges.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ward", "days"])
        writer.writerows([f"ward {number % 7}", number % 30] for number in range(50_000))
    return path


def offer(apis, table, name):
    apis[HOSPITAL].post(
        "/v1/datasets",
        {"source": str(table), "name": name, "title": f"Discharges {name}", "field": "health", "terms": "research-90d"},
    )
    full = f"{HOSPITAL}/{name}"
    wait_for(lambda: apis[UNIVERSITY].send("GET", f"/v1/datasets/{full}").status_code == 200, "the offer to arrive")
    return full


def agree(apis, dataset):
    """Return the ids of a request that was approved and of its agreement, once both parties' copies have them."""
    request = apis[UNIVERSITY].post("/v1/requests", {"dataset": dataset, "purpose": PURPOSE})["id"]
    apis[HOSPITAL].post(f"/v1/requests/{request}/approve")
    agreement = wait_for(
        lambda: [
            each for each in apis[UNIVERSITY].get(f"/v1/agreements?dataset={dataset}") if each["request"] == request
        ],
        "the agreement to arrive",
    )[0]
    return request, agreement["id"]


def on_all(apis, condition, what):
    for name, api in apis.items():
        wait_for(lambda api=api: condition(api), f"{what} at {name}")


def test_member_without_an_open_port_does_everything(apis, table):
    """Find, ask, agree, fetch and verify, dispute; then the agreement ends and the next fetch is refused."""
    dataset = offer(apis, table, "discharges")
    found = apis[UNIVERSITY].get("/v1/datasets?words=discharges")["datasets"]
    assert dataset in [each["name"] for each in found]
    _, agreement = agree(apis, dataset)
    fetched = apis[UNIVERSITY].post("/v1/deliveries", {"what": dataset})
    with open(fetched["path"], "rb") as file:
        assert table.read_bytes() == file.read()
    delivery = fetched["delivery"]
    on_all(apis, lambda api: api.send("GET", f"/v1/deliveries/{delivery}").status_code in (200, 404), "an answer")
    apis[UNIVERSITY].post(f"/v1/deliveries/{delivery}/dispute", {"why": "The wards have no names"})
    wait_for(
        lambda: "wards" in str(apis[HOSPITAL].get(f"/v1/deliveries/{delivery}")), "the provider to read what is wrong"
    )
    apis[HOSPITAL].post(f"/v1/agreements/{agreement}/terminate", {"why": "The study has ended"})
    wait_for(
        lambda: apis[UNIVERSITY].get(f"/v1/agreements/{agreement}")["state"] == "terminated", "the end to be known"
    )
    job = apis[UNIVERSITY].send("POST", "/v1/deliveries", {"what": agreement}).json()
    ended = (
        apis[UNIVERSITY].get(f"/v1/jobs/{job['id']}?wait=30") if "id" in job else {"state": "failed", "problem": job}
    )
    assert "failed" == ended["state"]
    assert "terminated" in str(ended["problem"])
    assert ended["problem"].get("remedy") or ended["problem"].get("code")


def test_what_only_the_parties_may_read_reaches_them_alone(apis, zone, table):
    """The purpose is a commitment on the ledger; the provider reads it, though it cannot connect to the consumer."""
    dataset = offer(apis, table, "wards")
    request, _ = agree(apis, dataset)
    wait_for(lambda: PURPOSE in str(apis[HOSPITAL].get(f"/v1/requests/{request}")), "the purpose to reach the provider")
    assert PURPOSE not in str(apis[BANK].send("GET", f"/v1/requests/{request}").json())
    for node in zone.values():
        assert PURPOSE.encode() not in (node.home.path / "ledger.db").read_bytes()


def test_every_node_gives_the_same_receipt_that_others_witnessed(apis, zone):
    """A receipt from any member's node verifies offline with zone.json, and says who has witnessed it."""
    recorded = apis[BANK].post("/v1/own/name", {"name": "Harbour Bank and Trust"})
    path = f"/v1/receipts/{recorded['transaction']}?index={recorded['index']}"
    trust = TrustFile.parse(encode_json(apis[HOSPITAL].get("/v1/zone")))
    for name, api in apis.items():
        wait_for(lambda api=api: api.send("GET", path).status_code == 200, f"a receipt at {name}")
        verified = verify_receipt(api.send("GET", path).content, trust)
        assert (BANK, 0) == (verified.organisation, verified.outcome)
        assert "witnessed by 2 of 2" in verified.summary


def test_trust_file_grows_with_the_zone_and_is_the_same_everywhere(apis):
    """One version for each change of the members, signed by the quorum of the one before."""
    on_all(apis, lambda api: api.get("/v1/status")["trust_pending"] == 0, "all versions signed")
    files = {name: encode_json(api.get("/v1/zone")) for name, api in apis.items()}
    fingerprints = {TrustFile.parse(data).fingerprint for data in files.values()}
    assert 1 == len(fingerprints)
    assert {HOSPITAL, UNIVERSITY, BANK} == set(TrustFile.parse(files[BANK]).latest.members)


def test_late_member_catches_up_and_all_copies_are_alike(apis, zone, tmp_path, table):
    """Who joins a zone with a history verifies all of it, and takes part at once."""
    late = join_zone(tmp_path, zone[HOSPITAL], "city-agency")
    try:
        with late.api() as api:
            head = apis[HOSPITAL].get("/v1/status")
            wait_for(lambda: api.get("/v1/status")["copy_height"] >= head["height"], "the newcomer to catch up")
            recorded = api.post("/v1/own/name", {"name": "City Agency for Everything"})
            path = f"/v1/receipts/{recorded['transaction']}"
            wait_for(lambda: api.send("GET", path).status_code == 200, "the newcomer's receipt")
            nodes = {each["organisation"] for each in apis[BANK].get("/v1/standing")["nodes"]}
            assert "city-agency" in nodes
    finally:
        late.stop()
    assert check(late.home.path).ok
    trust = late.home.read_trust()
    assert {HOSPITAL, UNIVERSITY, BANK, "city-agency"} == set(trust.latest.members)


def test_restarts_are_made_up_for(zone, table):
    """What happened while a node was stopped reaches it; while the orderer is, others say so and later go on."""
    bank, hospital = zone[BANK], zone[HOSPITAL]
    bank.stop()
    with hospital.api() as api:
        api.post("/v1/own/name", {"name": "City Hospital and Clinics"})
    bank.start()
    with bank.api() as api:
        wait_for(
            lambda: api.get(f"/v1/organisations/{HOSPITAL}")["name"] == "City Hospital and Clinics",
            "the bank to catch up",
        )
    hospital.stop()
    with bank.api() as api:
        assert 200 == api.send("GET", "/v1/organisations").status_code
    hospital.start()
    with bank.api() as api:
        api.post("/v1/own/name", {"name": "Harbour Bank again"})
    with hospital.api() as api:
        assert "Harbour Bank again" == api.get(f"/v1/organisations/{BANK}")["name"]


def test_address_that_changes_is_followed(zone, tmp_path):
    """A member that moves registers its new address, and the others find it there."""
    bank, hospital = zone[BANK], zone[HOSPITAL]
    with bank.api() as api:
        api.post("/v1/own/address", {"address": ""})
    with hospital.api() as api:
        wait_for(lambda: api.get(f"/v1/organisations/{BANK}")["address"] == "", "the hospital to know")
    with bank.api() as api:
        api.post("/v1/own/address", {"address": bank.address})
    with hospital.api() as api:
        wait_for(lambda: api.get(f"/v1/organisations/{BANK}")["address"] == bank.address, "the hospital to know again")


def test_all_homes_check_out(zone):
    """After all of this, every copy replays from genesis to the same roots, its tiles and signatures included."""
    for node in zone.values():
        node.stop()
    heads = set()
    for node in zone.values():
        report = check(node.home.path)
        assert report.ok, report.first
        store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
        heads.add(store.last_block().history_root)
        store.close()
    assert 1 == len(heads)
