"""Model cards: a head that machines read, and what people ask of a network before they use it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from convscale.records import DataRecord, write_record
from convscale.report.cards import model_card
from convscale.report.writing import card_path, write_report
from tests.report.made import CLASSES, made_run


def test_the_hub_reads_the_card(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    made = made_run(tmp_path / "run")
    card = hub.ModelCard(model_card(made))
    data = card.data
    head = data.to_dict()
    assert head["library_name"] == "convscale" and head["datasets"] == ["photos"]
    assert head["pipeline_tag"] == "image-classification"
    first, second = data.eval_results
    assert first.metric_value == pytest.approx(made.evaluation().top1, abs=1e-6) and second.metric_name == "top-5"
    assert first.task_type == "image-classification" and data.model_name == made.network().name


def test_a_card_says_what_people_ask(tmp_path: Path) -> None:
    text = model_card(made_run(tmp_path / "run"))
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["Use", "Data", "Accuracy", "Limits", "Training", "Network"]
    for said in (*CLASSES, "95 % interval", "convscale fit photos --macs 2M", "not used: 1 text file", "cs.load("):
        assert said in text


def test_names_cannot_break_the_head(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    made = made_run(tmp_path / "run")
    data = made.data()
    assert data is not None
    write_record(made.path / "data.json", replace(data, source='x: [y"\n---\n'))
    head = yaml.safe_load(model_card(made).split("---\n")[1])
    assert head["datasets"] == ['x: [y"\n---\n']
    (made.path / "data.json").unlink()
    assert "Not recorded." in model_card(made)
    assert isinstance(data, DataRecord)


def test_cards_lie_beside_the_report_of_runs_that_are_done(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / name, seed=seed).path for seed, name in enumerate("ab")]
    file = write_report([*runs, made_run(tmp_path / "c", finished=False).path], tmp_path / "report.html")
    assert sorted(path.name for path in tmp_path.glob("*.md")) == ["report-model-card-2.md", "report-model-card.md"]
    assert card_path(file).read_text() == model_card(made_run(tmp_path / "again"))
