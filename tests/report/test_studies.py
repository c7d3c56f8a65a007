"""Reports of studies, searches, families and several runs; what is quoted is called so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import convscale as cs
from convscale.costs import cost
from convscale.errors import ConfigError, RunError
from convscale.planning import family
from convscale.records import (
    BASELINE,
    Candidate,
    CoefficientSearch,
    DataRecord,
    PairedDifference,
    SearchedCandidate,
    TrainedFamily,
    TrainedMember,
    write_family,
    write_record,
)
from convscale.report.charts.quoted import COSTS
from convscale.report.published import published_networks
from convscale.report.writing import write_report
from convscale.scaling import PAPER, Scaling
from convscale.statistics import OrderChange
from tests.figures.planted import row, study
from tests.report.made import Element, made_run
from tests.report.test_pages import headings, report_of

ROOT = Path(__file__).parents[2]
ROWS = [
    row(BASELINE, 10**7, 10**6, 0.42, 0.03),
    row("compound", 4 * 10**7, 2 * 10**6, 0.57, 0.02),
    row("depth", 4 * 10**7, 3 * 10**6, 0.5, None, learned=False),
]
DIFFERENCE = PairedDifference(
    baseline="small-mbconv", asked=4.0, epochs=6, steps=186, a="compound", b="depth", mean=0.07,
    interval95=(0.02, 0.12), pairs=3, verdict="a is better", seeds_to_tell=None, adjusted_interval95=(0.01, 0.13),
)  # fmt: skip


def notices(page: Element) -> list[str]:
    return [one.text for one in page.all("p") if one.attributes.get("class") == "notice"]


def candidate(shares: tuple[float, float, float], accuracy: float) -> SearchedCandidate:
    network, scaling = cs.network("small-mbconv"), Scaling(1.0, 1.2, 1.1)
    own = Candidate(shares, shares, scaling, network, 10**7, 2.0)
    by_steps = {20: {0: accuracy - 0.1, 1: accuracy - 0.1}, 60: {0: accuracy, 1: accuracy}}
    return SearchedCandidate(own, "finalist", "", by_steps, 60, accuracy, (accuracy - 0.02, accuracy + 0.02), 2)


SEARCH = CoefficientSearch(
    alpha=1.2, beta=1.1, gamma=1.15, interval95=((1.0, 1.3), (1.0, 1.2), (1.1, 1.2)), baseline="small-mbconv",
    method="shares", cost=2.0, lengths=(20, 60),
    candidates=(candidate((1, 0, 0), 0.5), candidate((0, 1, 0), 0.6), candidate((0, 0, 1), 0.55)), equal_best=(1, 2),
    unreachable=(((0.5, 0.5, 0.0), "no network of this cost"),), merged=0, trusted={20: 0.9}, first_length=20,
    order=OrderChange(3, 3, 1, 0, False, 0.5), device_seconds=10.0, full_grid_device_seconds=20.0,
    training_macs=10**9, full_grid_training_macs=2 * 10**9, trainings=6,
)  # fmt: skip


def test_a_study_that_is_not_done_says_so(tmp_path: Path) -> None:
    result = study([*ROWS[:2], replace(ROWS[2], accuracy=None, seeds=1)], quoted=True, question="Which is better?")
    result = replace(result, differences=(DIFFERENCE,), chance=0.1)
    write_record(tmp_path / "results.json", result)
    page = report_of(tmp_path, folder=tmp_path)
    (notice,) = notices(page)
    assert "not done" in notice and f"convscale study resume {tmp_path}" in notice
    assert headings(page)[:3] == ["Findings", "Accuracy over cost", "After 6 epochs"]
    assert len(page.all("svg")) == 3 and "quoted: the paper's, on ImageNet" in page.text
    assert "Which is better?" in page.text and "+1.00 to +13.00" in page.text and "55.00 to 59.00" in page.text


def test_flags_of_rows_are_shown(tmp_path: Path) -> None:
    result = replace(study([replace(one, seeds=3) for one in ROWS]), chance=0.1)
    write_record(tmp_path / "results.json", result)
    page = report_of(tmp_path, folder=tmp_path)
    assert not notices(page) and "did not learn" in page.text and "Did not learn" in page.all("li")[-1].text + page.text


def test_a_study_of_published_trainings(tmp_path: Path) -> None:
    page = report_of(ROOT / "docs" / "results" / "grids", folder=tmp_path)
    assert len(page.all("svg")) == 2 and "no training was done here" in page.text


def test_a_search(tmp_path: Path) -> None:
    write_record(tmp_path / "coefficients.json", SEARCH)
    page = report_of(tmp_path, folder=tmp_path)
    assert len(page.all("svg")) == 1 and "1.100 to 1.200" in page.text and "Directions without" in page.text
    numbers = page.all("figure")[0].all("table")[0]
    assert [cell.text for cell in numbers.all("tr")[2].children] == ["0.00", "1.00", "0.00", "50.00"]


def test_a_family(tmp_path: Path) -> None:
    base = cs.network("small-mbconv")
    both = family(base, PAPER.law(), [0, 1])
    members = (
        TrainedMember(both.members[0], 0.5, (0.4, 0.6), 3, 100, ()),
        TrainedMember(both.members[1], None, None, 0, 0, ("it exploded",)),
    )
    write_family(TrainedFamily(base, both.law, members), tmp_path)
    page = report_of(tmp_path, folder=tmp_path)
    assert len(page.all("svg")) == 2 and "phi 1: it exploded" in page.text


@pytest.mark.long
def test_runs_stand_side_by_side_where_their_images_are_the_same(tmp_path: Path) -> None:
    runs = [
        made_run(tmp_path / name, seed=seed, macs=macs) for seed, (name, macs) in enumerate((("a", "2M"), ("b", "4M")))
    ]
    page = report_of(*(run.path for run in runs), folder=tmp_path)
    assert page.all("h2")[0].text == "The runs side by side" and "Accuracy over MACs" in page.text
    write_record(runs[1].path / "data.json", DataRecord("photos", "stratified", 1, "label", 240, 60, "other"))
    page = report_of(*(run.path for run in runs), folder=tmp_path)
    assert "different images" in page.text and "Accuracy over MACs" not in page.text


def test_a_run_on_imagenet_is_a_point_among_the_quoted_ones(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    assert "this network" not in report_of(run.path, folder=tmp_path).text
    data = run.data()
    assert data is not None
    write_record(run.path / "data.json", replace(data, published="imagenet"))
    page = report_of(run.path, folder=tmp_path)
    (chart,) = [
        one
        for one in page.all("figure")
        if one.all("title") and one.all("title")[0].text == "Published networks by MACs"
    ]
    own = [cell.text for cell in chart.all("tbody")[0].all("tr")[0].children]
    assert own[0] == "this report" and own[4] == f"{100 * run.evaluation().top1:.2f}" and own[5] == ""
    assert all(line.children[-1].text == "quoted" for line in chart.all("tbody")[0].all("tr")[1:])


def test_what_is_quoted_is_what_was_published() -> None:
    """Against the catalog: the same parameters, and our own count of memory."""
    networks = {one.name: one for one in published_networks()}
    assert len(networks) == 50 and all(0.5 < one.top1 < 0.9 for one in networks.values())
    b0 = networks["tf_efficientnet_b0.aa_in1k"]
    assert (b0.top1, b0.params, b0.seconds) == pytest.approx((0.76882, 5.29e6, 1 / 88.14))
    known = {
        "tf_efficientnet_b3.aa_in1k": "efficientnet-b3",
        "resnet50.tv_in1k": "resnet-50",
        "regnety_040.pycls_in1k": "regnety-4gf",
    }
    for name, ours in known.items():
        quoted, costs = networks[name], cost(cs.network(ours))
        assert quoted.params == pytest.approx(costs.params, rel=0.01)
        assert quoted.macs == pytest.approx(costs.macs, rel=0.05)
        assert quoted.inference_memory_bytes == costs.inference_memory_bytes


@pytest.mark.parametrize(("settings", "hint"), [
    ('{"kind": "study"}', "no results yet .*study report"),
    ('{"kind": "coefficients"}', "not done .*study resume"),
])  # fmt: skip
def test_what_has_no_result_yet_says_what_to_do(tmp_path: Path, settings: str, hint: str) -> None:
    (tmp_path / "settings.json").write_text(settings)
    with pytest.raises(RunError, match=hint):
        write_report(tmp_path, tmp_path / "r.html")


def test_other_records_and_older_searches_are_refused(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run")
    with pytest.raises(RunError, match="Evaluation alone"):
        write_report(made.path / "evaluation.json", tmp_path / "r.html")
    with pytest.raises(ConfigError, match="before format version 2"):
        write_report(ROOT / "docs" / "results" / "search-imagenette", tmp_path / "r.html")


def test_a_golden_study(tmp_path: Path) -> None:
    page = report_of(ROOT / "tests" / "fixtures" / "golden" / "v1" / "study", folder=tmp_path)
    assert page.all("svg") and "did not correct comparisons together" in page.text


@pytest.mark.every_cost
def test_published_networks_stand_over_every_cost(tmp_path: Path) -> None:
    page = report_of(made_run(tmp_path / "run").path, folder=tmp_path)
    titles = [one.text for one in page.all("title") if one.text.startswith("Published networks by ")]
    assert len(titles) == len(COSTS) == 5
    memory = next(one for one in page.all("figure") if "memory" in one.all("figcaption")[0].text)
    assert "ResNet (torchvision)" in memory.text and "pycls" in memory.text and "MobileNetV2" in memory.text
