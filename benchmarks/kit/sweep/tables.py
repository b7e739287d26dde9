"""The results of the sweep as text for a terminal, and as the part of docs/families.md between two markers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.kit.pages import replaced
from npresnet.bench.table import Table

Entry = dict[str, Any]
PARTS = ("resnets", "homes", "strangers")
START, END = "<!-- sweep:start -->", "<!-- sweep:end -->"
FAILED = ("wrong", "ill-conditioned", "crash")
VERDICTS = ("runs", "needs", "refused", *FAILED)
HEADINGS = {verdict: verdict for verdict in VERDICTS} | {"runs": "run", "needs": "need an option"}
SHOWN = ("runs", "needs", "refused")  # columns that are always there
OPTIONS_START, OPTIONS_END = "<!-- options:start -->", "<!-- options:end -->"
ROLES = {
    "free": "as stated",
    "seen": "as stated, unless the tensors tell",
    "topology": "must agree with the tensors",
    "size": "must agree with the tensors; `build` takes it",
    "start": "by `build` only",
}
NAMES = (
    "These names may be given as `arch=`, may stand in a file, and are what `npresnet.build` and `npresnet.list_archs` "
    "know; those of timm that are not listed there (pruned ones, for example) run by their tensors alone."
)


def line(record: Mapping[str, Any]) -> str:
    """One record in one line."""
    if "verdict" not in record:
        names = ", ".join(f"{family} ({count})" for family, count in record["refused"].items())
        built = f"; BUILT: {', '.join(record['built'])}" if record["built"] else ""
        return f"{record['library']} {record['module']}: {names or '-'}; unnamed {record['unnamed']}{built}"
    told = ", ".join(option_text(name, value) for name, value in record.get("options", {}).items())
    parts = [record.get("home") or f"{record.get('library')} {record.get('name', '')}", record["verdict"], told]
    parts += [f"{word} {record[word]}" for word in ("error", "rms", "sensitivity") if word in record]
    return "  ".join(text for text in [*parts, record.get("arch", ""), record.get("message", "")] if text)


def option_text(name: str, value: Any) -> str:
    """As the caller writes it."""
    return f"{name}={value!r}".replace("'", '"')


def in_order(entry: Entry) -> Entry:
    """The records sorted: homes remain in the order of their table."""
    from benchmarks.kit.sweep.home_list import HOMES

    places = {home: place for place, home in enumerate(HOMES)}
    return {
        **entry,
        "resnets": sorted(
            entry["resnets"], key=lambda row: (row["library"] != "torchvision", row["module"], row["name"])
        ),
        "homes": sorted(entry["homes"], key=lambda row: places.get(row["home"], len(places))),
        "strangers": sorted(entry["strangers"], key=lambda row: (row["library"], row["module"])),
    }


def counts(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(row["verdict"] for row in rows)


def has_failed(entry: Entry) -> bool:
    bad = [row for part in ("resnets", "homes") for row in entry[part] if row["verdict"] in FAILED]
    return bool(bad) or any(row.get("verdict") or row["built"] for row in entry["strangers"])


def summary(entry: Entry) -> str:
    """What came out, and every row that failed."""
    lines = [f"{part}: {_counted(entry[part])}" for part in ("resnets", "homes")]
    lines += [f"strangers: {_refusals(entry['strangers'])}"] if entry["strangers"] else []
    return "\n".join([*lines, *(line(row) for part in PARTS for row in entry[part] if row.get("verdict") in FAILED)])


def _counted(rows: Sequence[Mapping[str, Any]]) -> str:
    found = counts(rows)
    return f"{len(rows)}: " + ", ".join(f"{found[v]} {HEADINGS[v]}" for v in VERDICTS if found[v] or v in SHOWN)


def _refusals(rows: Sequence[Mapping[str, Any]]) -> str:
    from benchmarks.kit.sweep.strangers import wrong_names

    rows = [row for row in rows if "verdict" not in row]  # without what did not end
    total, unnamed = sum(row["names"] for row in rows), sum(row["unnamed"] for row in rows)
    wrong = sum(count for row in rows for count in wrong_names(row).values())
    built = sum(len(row["built"]) for row in rows)
    named = total - unnamed - wrong - built
    text = (
        f"{total} architectures: {named} refused by their own family's name, {unnamed} as unknown with the nearest one"
    )
    return f"{text}, {wrong} by another's name" + (f", {built} built" if built else "")


def page(old: str, entry: Entry) -> str:
    """The page with new tables between the markers."""
    new = replaced(old, sections(entry), (START, END))
    return replaced(new, [option_table().to_markdown()], (OPTIONS_START, OPTIONS_END))


def sections(entry: Entry) -> list[str]:
    """The generated part of the page."""
    versions = ", ".join(f"{name} {number}" for name, number in entry["versions"].items() if name != "npresnet")
    made = f"Made by `{entry['command']}` with {versions}; the rows with all numbers are in "
    return [
        "### ResNets of torchvision and timm",
        _headline(entry["resnets"]),
        _modules(entry["resnets"]).to_markdown(),
        *_exceptions(entry["resnets"]),
        "### Names",
        NAMES,
        *_names(entry["resnets"]),
        "### Files of other homes",
        _headline(entry["homes"]),
        _homes(entry["homes"]).to_markdown(),
        *_strangers(entry["strangers"]),
        f"{made}[benchmarks/results/families.json](../benchmarks/results/families.json).",
    ]


def _strangers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What else there is, and how it is refused; nothing where that was not judged."""
    if not rows:
        return []
    title = "### Other architectures of torchvision and timm"
    return [title, f"By names and shapes alone: {_refusals(rows)}.", *_not_resnets(rows)]


def _headline(rows: Sequence[Mapping[str, Any]]) -> str:
    found = counts(rows)
    shown = ", ".join(f"{found[v]} {HEADINGS[v]}" for v in SHOWN)
    unknown = found["crash"] + found["ill-conditioned"]
    rest = f" {unknown} could not be judged." if unknown else ""
    return f"Of {len(rows)}, {shown}; {found['wrong'] or 'none'} silently wrong.{rest}"


def _by_module(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["library"], row["module"]), []).append(row)
    return found


def _modules(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row a module: how many, and the largest errors."""
    shown = [*SHOWN, *(verdict for verdict in FAILED if counts(rows)[verdict])]
    lines = []
    for (library, module), of in _by_module(rows).items():
        found = counts(of)
        families = sorted({row["family"] for row in of if "family" in row})
        rms = max((row["rms"] for row in of if row.get("rms")), default=None)
        cells = [f"{library} `{module}`", ", ".join(f"`{name}`" for name in families), str(len(of))]
        lines.append([*cells, *(str(found[v]) for v in shown), "" if rms is None else f"{rms:.2f}"])
    header = ["module", "families here", "networks", *(HEADINGS[v] for v in shown), "error / PyTorch's, at most"]
    return Table(header, lines, texts=(0, 1))


def _exceptions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tables of what needs an option and of what does not run."""
    needs = [row for row in rows if row["verdict"] == "needs"]
    rest = [row for row in rows if row["verdict"] not in ("runs", "needs")]
    found = []
    if needs:
        lines = [[f"`{row['name']}`", _options(row), "; ".join(dict.fromkeys(row["notes"].values()))] for row in needs]
        found.append(
            Table(["needs", "option, or its name as `arch`", "otherwise said"], lines, texts=(0, 1, 2)).to_markdown()
        )
    if rest:
        lines = [[f"`{row['name']}`", row["verdict"], _cell(row.get("message", ""))] for row in rest]
        found.append(Table(["does not run", "verdict", "message"], lines, texts=(0, 1, 2)).to_markdown())
    return found


def _options(row: Mapping[str, Any]) -> str:
    return ", ".join(f"`{option_text(name, value)}`" for name, value in row.get("options", {}).items())


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One paragraph a family: the libraries' names that run or need an option, and those that only npresnet has."""
    from npresnet.arch.families import FAMILIES

    paragraphs, shown = [], {row["name"] for row in rows if "family" in row}
    for family in FAMILIES:
        judged = dict.fromkeys(row["name"] for row in rows if row.get("family") == family.NAME)
        own = [name for name in family.ARCHS if name not in shown]  # other families may have the same names
        shown.update(own)
        lists = [", ".join(f"`{name}`" for name in names) for names in (judged, own)]
        if any(lists):
            paragraphs.append(f"**{family.NAME}**: {'; by names of npresnet: '.join(filter(None, lists))}.")
    return paragraphs


def option_table() -> Table:
    """Options that only some families have: their values, and how they are used."""
    from npresnet.arch.families import FAMILIES
    from npresnet.arch.names import option_table as options_of
    from npresnet.arch.options import COMMON
    from npresnet.arch.residual.options import OPTIONS as SHARED

    found: dict[tuple[str, str, str], list[str]] = {}
    for family in FAMILIES:
        for name, option in options_of(family).items():
            if name not in COMMON and SHARED.get(name) != option:
                found.setdefault((name, option.kind, ROLES[option.role]), []).append(family.NAME)
    lines = [
        [f"`{name}`", ", ".join(f"`{of}`" for of in families), _cell(kind), role]
        for (name, kind, role), families in sorted(found.items())
    ]
    return Table(["option", "families", "values", "used"], lines, texts=(0, 1, 2, 3))


def _homes(rows: Sequence[Mapping[str, Any]]) -> Table:
    lines = [[row["home"], HEADINGS[row["verdict"]], _options(row), _cell(row.get("said", ""))] for row in rows]
    return Table(["file", "verdict", "options given", "said"], lines, texts=(0, 1, 2, 3))


def _not_resnets(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        [f"{row['library']} `{row['module']}`", str(row["names"]), row["why"], "; ".join(row["refused"])]
        for row in rows
        if "why" in row
    ]
    table = Table(["module", "networks", "not counted as ResNets", "refused as"], lines, texts=(0, 2, 3))
    return [table.to_markdown()] if lines else []


def _cell(text: str) -> str:
    """Text for a cell of a table, cut at a sentence or a word."""
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= 160 else text[:160].rpartition(" ")[0] + " ..."
