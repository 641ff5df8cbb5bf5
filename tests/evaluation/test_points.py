"""`report.adversarial()` and `robench.verify` for networks and images in memory."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.errors import InputError
from robench.report import load
from robench.report.page.gallery import gallery

WEAK = robench.AttackSpec(
    name="weak", algorithm="pgd", steps=2, access="gradient", params={"rel_step": 0.05}, about="", cite=""
)
ATTACKS: list[str | robench.AttackSpec] = [WEAK, "pgd-20"]
NAMES = ("weak", "pgd-20")


class Double(nn.Module):
    """A network that computes in float64."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 3)).double()
        self.eval()

    def forward(self, x):
        return self.inner(x.double())


def scale(network, factor):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(factor)


def images(channels=1, n=12):
    return torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(2))


def evaluated(network, x, y, eps="0.02", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the trust of a few random images
        return robench.evaluate(network, x, y, eps=eps, attacks=ATTACKS, device="cpu", save_adversarial=True, **options)


def labels(network, x):
    with torch.no_grad():
        return network(x).argmax(1)


@pytest.fixture(scope="module")
def made():
    network, x = Double(1), images()
    y = labels(network, x)
    y[0] = (y[0] + 1) % 3  # misclassified before any attack
    ids = torch.arange(12) * 5 + 1000
    return network, x, y, ids, evaluated(network, x, y, ids=ids)


def test_points_of_one_attack_are_those_of_its_broken_examples(made):
    network, x, y, ids, report = made
    for name in NAMES:
        points, found = report.adversarial(name)
        record = report[name].result.record
        broken = torch.from_numpy(record.clean & ~record.robust)
        assert 0 < broken.sum() < 11
        assert torch.equal(found, ids[broken])
        assert (points.dtype, points.shape) == (torch.float32, (len(found), 1, 8, 8))
        assert (labels(network, points) != y[broken]).all()
        assert (points - x[broken]).abs().max() <= 0.02 + 1e-6


def test_the_worst_case_takes_the_first_attack_that_broke_an_example(made):
    *_, report = made
    points, found = report.adversarial()
    first, second = (
        {each: point.tolist() for point, each in zip(points, ids.tolist(), strict=True)}
        for points, ids in map(report.adversarial, NAMES)
    )
    assert first.keys() != second.keys()
    assert found.tolist() == sorted({**first, **second})
    for point, each in zip(points.tolist(), found.tolist(), strict=True):
        assert point == first.get(each, second.get(each))
    assert len(found) == round(12 * (report["weak"].clean_accuracy - report.worst_case.robust_accuracy) / 100)


def test_refusals(made):
    network, x, y, _, report = made
    with pytest.raises(InputError, match="unknown attack 'pgd-21'"):
        report.adversarial("pgd-21")
    without = robench.evaluate(network, x, y, eps="0.02", attacks=["fgsm"], device="cpu")
    with pytest.raises(InputError, match="save_adversarial=True"):
        without.adversarial()


def test_a_report_with_points_can_be_pickled(made):
    *_, report = made
    again = pickle.loads(pickle.dumps(report))
    assert torch.equal(again.adversarial()[0], report.adversarial()[0])


@pytest.mark.parametrize(("channels", "n", "norm", "eps"), [(4, 12, "l2", "0.3"), (2, 1, "linf", "0.2")])
def test_arrays_give_arrays_whatever_the_channels(channels, n, norm, eps):
    network, x = Double(channels), images(channels, n)
    y = labels(network, x).numpy()
    report = evaluated(network, x.double().numpy(), y, eps=eps, norm=norm)
    points, found = report.adversarial()
    assert isinstance(points, np.ndarray)
    assert (points.dtype, points.shape) == (np.float32, (len(found), channels, 8, 8))
    assert found.dtype == np.int64
    assert len(found) > 0
    assert (labels(network, torch.from_numpy(points)).numpy() != y[found]).all()


def test_nothing_broken_gives_no_points():
    network, x = Double(1), images()
    points, found = evaluated(network, x, labels(network, x), eps="0.00001").adversarial()
    assert (points.shape, found.shape) == ((0, 1, 8, 8), (0,))


def test_a_target_is_what_the_points_are_turned_into():
    network, x = Double(1), images()
    report = evaluated(network, x, labels(network, x), eps="0.2", target=2)
    points, found = report.adversarial()
    assert len(found) > 0
    assert (labels(network, points) == 2).all()
    assert (labels(network, x[found]) != 2).all()


def test_networks_of_one_class_in_one_folder(tmp_path):
    """Two networks, two eps and two seeds: each record is judged with its own network, and shown with its images."""
    first, second, x = Double(4), Double(4), images(4)
    scale(second, -1)
    for network, options in ((first, {}), (first, {"eps": "0.05", "seed": 1}), (second, {})):
        report = evaluated(network, x, labels(network, x), results=tmp_path, **options)
        assert len(report.adversarial()[0]) > 0
    checked = robench.verify(tmp_path, first)
    assert [(v.header.threat.text, v.header.seed) for v in checked].count(("0.05", 1)) == 2
    assert len(checked) == 4
    assert all(v.confirmed == v.examples and not v.faults and not v.reason for v in checked)
    assert any(v.examples for v in checked)
    assert len(robench.verify(str(tmp_path), second)) == 2
    other = Double(4)
    scale(other, 2)
    assert {v.reason.partition(":")[0] for v in robench.verify(tmp_path, other) if v.examples} == {
        "the network is not the one that was evaluated"
    }
    assert {v.reason.partition(":")[0] for v in robench.verify(tmp_path) if v.examples} == {
        "it is not known where the network was loaded from"
    }
    records = [record for record in load(tmp_path) if record.header.seed == 1]
    shown = gallery(records, clean=None)  # the images are kept beside the records
    assert shown["note"] == ""
    assert {each["channels"] for attack in shown["attacks"] for each in attack["examples"]} == {"channels 1 to 3 of 4"}


def test_a_service_and_its_points(tmp_path):
    network, x = Double(1), images()
    y = labels(network, x)
    service = robench.Service(lambda batch: labels(network, batch), "mine-1", classes=3)
    report = robench.evaluate(
        service, x, y, eps="0.3", attacks=["rays"], max_queries=60, results=tmp_path, save_adversarial=True
    )
    points, found = report.adversarial()
    assert len(found) > 0
    assert (labels(network, points) != y[found]).all()
    (checked,) = robench.verify(tmp_path, service)
    assert (checked.confirmed, checked.faults) == (len(found), {})


def test_a_refused_evaluation_leaves_nothing(tmp_path):
    x = images()
    with pytest.raises(InputError, match="training mode"):
        evaluated(Double(1).train(), x, torch.zeros(12, dtype=torch.int64), results=tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_dataset_and_a_mask(tmp_path):
    """A dataset gives tensors; points differ from the clean images only where the mask allows that."""
    network, x = Double(1), images()
    data = torch.utils.data.TensorDataset(x, labels(network, x))
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:] = True
    points, found = evaluated(network, data, None, eps="0.2", mask=mask, results=tmp_path).adversarial()
    assert len(found) > 0
    assert torch.equal(points[:, :, :2], x[found][:, :, :2])
    assert all(v.confirmed == v.examples and not v.faults and not v.reason for v in robench.verify(tmp_path, network))
