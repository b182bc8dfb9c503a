"""The accounts of a made-up company that sells outdoor gear."""

from __future__ import annotations

import csv
from io import StringIO

from .records import Account

TABLE = """\
Name,Industry,BillingCity,BillingCountry,Phone,Website,AnnualRevenue,Type
Alpenglow Outfitters,Retail,Innsbruck,Austria,+43 512 555 0142,https://alpenglow.example,18400000,Customer
Brightwater Marine,Transportation,Bergen,Norway,+47 55 55 01 87,https://brightwater.example,42750000,Customer
Cedar & Slate Lodges,Hospitality,Banff,Canada,+1 403 555 0119,https://cedarslate.example,9300000,Prospect
Fernhill Botanics,Agriculture,Galway,Ireland,+353 91 555 014,https://fernhill.example,3150000,Customer
Halcyon Ski Works,Manufacturing,Chamonix,France,+33 4 55 50 12 60,https://halcyon.example,27900000,Partner
Juniper Trail Foods,Food & Beverage,Boulder,United States,+1 303 555 0175,https://junipertrail.example,12600000,Customer
Kestrel Rope & Rigging,Manufacturing,Sheffield,United Kingdom,+44 114 555 0136,https://kestrel.example,7850000,Customer
Lumen Bicycle Co-op,Retail,Utrecht,Netherlands,+31 30 555 0128,https://lumen.example,5420000,Prospect
Northmoor Expeditions,Recreation,Reykjavík,Iceland,+354 555 0193,https://northmoor.example,15050000,Customer
Río Claro Kayaks,Manufacturing,Pucón,Chile,+56 45 555 0164,https://rioclaro.example,2980000,Partner
Sable Peak Insurance,Insurance,Zürich,Switzerland,+41 44 555 01 51,,88200000,Prospect
Tidewater Surf School,Education,Ericeira,Portugal,+351 261 555 017,https://tidewater.example,1240000,Customer
"""


def sample_accounts() -> list[Account]:
    """A dozen accounts, fresh copies without ids. An empty cell is None, as Salesforce answers it."""
    return [_account(row) for row in csv.DictReader(StringIO(TABLE))]


def _account(row: dict[str, str]) -> Account:
    return {**{name: text or None for name, text in row.items()}, "AnnualRevenue": int(row["AnnualRevenue"])}
