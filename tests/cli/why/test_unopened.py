"""Asking as a party why a contract is not open: over HTTP, with a key file."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.main import app
from orchestrator.cli.why.unopened import explain_unopened
from orchestrator.core.common.errors import ServerError, WhyError
from orchestrator.core.common.hexadecimal import from_hex
from tests.support.api_service import (
    ApiService,
    draft_terms,
    open_surface,
    proposal_of,
    wallet,
)


def key_file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("0x" + bytes(wallet(name).key).hex())
    path.chmod(0o600)
    return path


def test_a_party_is_told_why_its_contract_is_not_open(service: ApiService, tmp_path: Path) -> None:
    owner = service.sign_in(wallet("owner"), "owner")
    operator = service.sign_in(wallet("operator"), "operator")
    surface = open_surface(owner, "unopened")
    parameters = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
    terms = draft_terms(parameters, wallet("operator").address)
    proposed = operator.post("/v1/proposals", json=proposal_of(terms, wallet("operator")))
    contract = proposed.json()["contract_id"]
    with service.admin() as admin:
        admin.execute(
            "INSERT INTO openings (log_id, contract_id, tries, asked, reason, next_ms)"
            " SELECT log_id, contract_id, 2, 0, 'the escrow may take 0.00', 7 FROM proposals"
        )
    asked = ["why", contract, "--api", service.url, "--json"]
    for name in ("owner", "operator"):
        done = CliRunner().invoke(app, [*asked, "--key-file", str(key_file(tmp_path, name))])
        assert done.exit_code == 0, done.output
        answer = json.loads(done.stdout)
        assert (answer["code"], answer["contract_id"]) == ("unopened", contract)
        assert answer["text"].endswith("its owner has not accepted it")
        (failed,) = answer["parts"]
        assert failed["text"] == (
            "it was tried 2 times, the last one failed: the escrow may take 0.00"
        )

    unknown = WhyError("subject-unknown", "the log knows no such contract")
    with pytest.raises(ServerError, match="there is no such proposal"):
        explain_unopened(unknown, key_file(tmp_path, "boss"), service.url, from_hex(contract))
    with pytest.raises(WhyError, match="the log knows no such contract"):
        explain_unopened(unknown, None, service.url, from_hex(contract))
    other = WhyError("entry-unknown", "there is no such entry")
    with pytest.raises(WhyError, match="there is no such entry"):
        explain_unopened(other, key_file(tmp_path, "owner"), service.url, from_hex(contract))
