"""What the demo needs before its first page: tables, files, translations, and a seeded market."""

from __future__ import annotations

import json
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import transaction

from accounts import services as accounts
from accounts.kernel import ids
from accounts.selectors import actors, clock, organisations
from config import messages, seeding
from config.database import as_owner
from config.demo import agents
from config.services.processes import ServiceError
from config.settings.addresses import state_dir
from metering_ingest import services as metering
from providers import services as providers

YUAN = 10**6
_DEPOSIT = 20_000 * YUAN
_LINES = (
    seeding.LineSpec(
        "llama-3-8b", "Meta", "Llama 3 8B", {"realtime": 3_600_000, "interactive": 3_000_000, "batch": 2_400_000}
    ),
    seeding.LineSpec(
        "qwen2.5-7b", "Alibaba", "Qwen2.5 7B", {"realtime": 3_400_000, "interactive": 2_800_000, "batch": 2_200_000}
    ),
    seeding.LineSpec(
        "qwen3-32b", "Alibaba", "Qwen3 32B", {"realtime": 4_200_000, "interactive": 3_600_000, "batch": 2_800_000}
    ),
)
# Offers: (grade, discount in bps, floor in micro-yuan per million ST, share of the pool in bps).
_PROVIDERS: tuple[tuple[str, dict[str, str], int, tuple[tuple[Any, ...], ...]], ...] = (
    (
        "Yunling Compute",
        {"legal_name": "云岭智算科技有限公司", "tax_number": "91530100MA6EXAMPL1", "language": "zh-hans"},
        0,
        (
            (
                "Kunming A",
                "moore-threads",
                "MTT S4000",
                64,
                "cn-southwest",
                "llama-3-8b",
                6_000,
                [
                    ("interactive", 6_000, 1_200_000, 4_000),
                    ("interactive", 4_500, 1_650_000, 3_000),
                    ("batch", 6_000, 900_000, 3_000),
                ],
            ),
            (
                "Kunming B",
                "cambricon",
                "MLU590",
                16,
                "cn-southwest",
                "qwen2.5-7b",
                4_000,
                [("interactive", 5_500, 1_200_000, 6_000), ("batch", 6_000, 800_000, 4_000)],
            ),
        ),
    ),
    (
        "Northern Halls",
        {"legal_name": "北方机房数据有限公司", "tax_number": "91110105MA0EXAMPL2", "language": "zh-hans"},
        1,
        (
            (
                "Ulanqab 1",
                "huawei",
                "Ascend 910B",
                32,
                "cn-north",
                "llama-3-8b",
                5_000,
                [
                    ("interactive", 5_000, 1_450_000, 5_000),
                    ("interactive", 3_000, 2_000_000, 2_000),
                    ("realtime", 3_500, 2_100_000, 3_000),
                ],
            ),
            (
                "Ulanqab 2",
                "nvidia",
                "A100 80GB SXM",
                16,
                "cn-north",
                "qwen3-32b",
                3_000,
                [("interactive", 4_000, 1_900_000, 6_000), ("batch", 6_000, 1_000_000, 4_000)],
            ),
        ),
    ),
)
_BUYERS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "Lantern Search",
        {
            "legal_name": "灯塔搜索（上海）有限公司",
            "tax_number": "91310115MA1EXAMPL3",
            "address": "上海市浦东新区示例路 1 号",
            "bank_name": "示例银行上海分行",
            "bank_account": "0000 0000 0000 0001",
        },
    ),
    ("Harbour Assist", {"legal_name": "海港助手科技有限公司", "tax_number": "91350200MA2EXAMPL4"}),
    ("Pine Labs", {"legal_name": "青松实验室有限公司", "tax_number": "91330100MA2EXAMPL5"}),
)
_OPERATOR = {
    "legal_name": "词元现货平台（示例）有限公司",
    "tax_number": "91310000MA1EXAMPL0",
    "address": "上海市示例路 100 号",
    "phone": "021-00000000",
    "bank_name": "示例银行上海分行",
    "bank_account": "0000 0000 0000 0000",
}
# What each trading program wants: (buyer, line, grade, highest limit in micro-yuan per million ST, lots a bid).
_TRADERS = (
    ("Lantern Search", "llama-3-8b", "interactive", 2_900_000, (40, 400)),
    ("Harbour Assist", "llama-3-8b", "interactive", 2_800_000, (20, 300)),
    ("Pine Labs", "llama-3-8b", "interactive", 2_600_000, (20, 200)),
    ("Harbour Assist", "qwen2.5-7b", "interactive", 2_700_000, (20, 200)),
    ("Pine Labs", "qwen3-32b", "interactive", 3_400_000, (20, 200)),
    ("Pine Labs", "llama-3-8b", "batch", 2_300_000, (20, 200)),
)
_SIGN_INS = (
    ("buyer", "buyer@demo.example", "Lantern Search", "owner"),
    ("provider", "provider@demo.example", "Yunling Compute", "owner"),
    ("finance", "finance@demo.example", "Lantern Search", "finance"),
    ("staff", "staff@demo.example", "operator", "owner"),
)


def prepare(*, engine_port: int) -> None:
    """Bring the database up to date, and seed it once.

    :raises ServiceError: the database belongs to somebody else.
    """
    state = state_dir()
    secret = _secret_key(state)
    messages.compile_catalogue()
    with as_owner():
        call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)
    now = clock.now()
    metering.make_partitions(now=now)
    about = state / "demo.json"
    if organisations.any_exists():
        known = {seeding.seeded_id("operator")}
        if not organisations.get_many(known) or not about.exists():
            raise ServiceError("This database holds organisations that are not the demo's: nothing was changed.")
        _renew_tokens(about, now)
        return
    with transaction.atomic():
        told = _seed(engine_port, now)
    told["secret_key"] = secret
    about.touch(mode=0o600)
    about.write_text(json.dumps(told, ensure_ascii=False, indent=1))
    providers.offers.post_due(now=now, limit=10_000)


def _renew_tokens(about: Path, now: datetime) -> None:
    """A registration token lives an hour: agents that never came to register get a new one."""
    told = json.loads(about.read_text())
    for engine in told["engines"]:
        if "agent" not in engine:
            raise ServiceError("This demo is of an earlier version: `make demo-reset` forgets it.")
        if not (agents.folder(engine["name"]) / "identity.json").exists():
            actor = actors.of_organisation(seeding.seeded_id(engine["provider"]))
            agent_id = ids.decode("agt", engine["agent"])
            engine["registration_token"] = providers.agents.new_token(agent_id, actor=actor, now=now).token
    about.write_text(json.dumps(told, ensure_ascii=False, indent=1))


def _secret_key(state: Path) -> str:
    path = state / "secret_key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48))
    return path.read_text()


def _seed(engine_port: int, now: datetime) -> dict[str, Any]:
    staff, _ = seeding.operator("Tokenspot demo", now=now, **_OPERATOR)
    for line in _LINES:
        seeding.line(line, now=now)
    engines = []
    for name, details, number, pools in _PROVIDERS:
        port, key = engine_port + 2 * number, secrets.token_urlsafe(24)
        # The gateway calls the provider's agent, which stands before the engine.
        specs = [
            seeding.DeploymentSpec(*pool, endpoint=f"http://127.0.0.1:{port + 1}", key=key, private=True)  # type: ignore[misc]  # rows of data, in the order of the fields
            for pool in pools
        ]
        actor = seeding.provider(name, specs, now=now, **details)
        agent = providers.agents.make(name="Agent 1", pool_id=None, actor=actor, now=now)
        models = sorted({spec.line for spec in specs})
        rate = sum(spec.rate_st_per_second for spec in specs)
        engines.append(
            {
                "name": name.split()[0].lower(),
                "provider": name,
                "port": port,
                "agent_port": port + 1,
                "agent": ids.encode("agt", agent.agent_id),
                "registration_token": agent.token,
                "rate": rate,
                "models": models,
                "key": key,
            }
        )
    buyers = {
        name: seeding.buyer(name, deposit_micros=_DEPOSIT, staff=staff, now=now, **details) for name, details in _BUYERS
    }
    scopes = ["market:read", "orders:read", "orders:write", "inference", "usage:read", "billing:read", "billing:write"]
    keys = {
        name: accounts.keys.create(actor=actor, name="demo", scopes=scopes, now=now).secret
        for name, actor in buyers.items()
    }
    return {
        "engines": engines,
        "buyer_key": keys["Lantern Search"],
        "sign_ins": [_sign_in(*who, now=now) for who in _SIGN_INS],
        "traders": [
            {"name": name, "key": keys[name], "line": line, "grade": grade, "ceiling_micros": ceiling, "lots": lots}
            for name, line, grade, ceiling, lots in _TRADERS
        ],
    }


def _sign_in(role: str, email: str, organisation: str, membership: str, *, now: datetime) -> dict[str, str]:
    password = secrets.token_urlsafe(9)
    accounts.members.add(
        organisation_id=seeding.seeded_id(organisation),
        email=email,
        role=membership,
        password=password,
        is_staff=role == "staff",
        now=now,
    )
    return {"role": role, "email": email, "password": password}
