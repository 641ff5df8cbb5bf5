"""Datasets and loaders in place of arrays: the same examples in the dataset's own order, or one sentence."""

from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torchvision import datasets, transforms

import robench
from robench.data.described import described
from robench.data.given import given
from robench.errors import InputError
from tests.support.toys import Toy

N, K = 40, 4
RAW = np.random.default_rng(0).integers(0, 256, (N, 6, 5, 3), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, K, N)
X, Y = torch.from_numpy(RAW).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(LABELS)
WHOLE = TensorDataset(X, Y)


class Listed(Dataset):
    """Examples from a function of their number."""

    def __init__(self, make, n=N):
        self.make, self.n, self.read = make, n, []

    def keep(self, labels):
        self.targets = labels.tolist()
        return self

    def __len__(self):
        return self.n

    def __getitem__(self, at):
        self.read.append(at)
        return self.make(at)


class Stream(IterableDataset):
    def __init__(self, make, order=lambda: range(N)):
        self.make, self.order = make, order

    def __iter__(self):
        return (self.make(at) for at in self.order())


class Twos(Sampler):
    """Batches of two, from the end."""

    def __iter__(self):
        return iter([[at + 1, at] for at in range(N - 2, -1, -2)])

    def __len__(self):
        return N // 2


class Columns:
    """A Hugging Face dataset, as far as it is used."""

    def __init__(self):
        self.column_names = ["image", "label", "id"]

    def __len__(self):
        return N

    def with_format(self, kind):
        return self

    def __getitem__(self, key):
        if isinstance(key, str):
            return {"label": LABELS.tolist()}[key]
        return {"image": Image.fromarray(RAW[key]), "label": int(LABELS[key]), "id": "a"}


def folder(tmp_path):
    for at in range(N):
        place = tmp_path / "images" / str(LABELS[at])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RAW[at]).save(place / f"{at:02}.png")
    return datasets.ImageFolder(tmp_path / "images", transforms.ToTensor())


def collated(items):
    return UserDict(pixel_values=torch.stack([x for x, _ in items]), labels=torch.tensor([int(y) for _, y in items]))


def pair(at):
    return X[at], Y[at]


Named = namedtuple("Named", "image label path")
SAME = {
    "dataset": WHOLE,
    "shuffled": DataLoader(WHOLE, 7, shuffle=True, drop_last=True),
    "in order": DataLoader(WHOLE, 7, drop_last=True),
    "batches": DataLoader(WHOLE, batch_sampler=BatchSampler(RandomSampler(WHOLE), 7, False)),
    "own batches": DataLoader(WHOLE, batch_sampler=Twos()),
    "own sampler": DataLoader(WHOLE, 3, sampler=SubsetRandomSampler(range(N))),
    "no batches": DataLoader(WHOLE, batch_size=None, sampler=SequentialSampler(WHOLE)),
    "dictionary of batches": DataLoader(WHOLE, 7, collate_fn=collated),
    "subset": Subset(ConcatDataset([Subset(WHOLE, range(9)), Subset(WHOLE, range(9, N))]), range(N)),
    "pillow": Listed(lambda at: (Image.fromarray(RAW[at]), int(LABELS[at]))),
    "loader of pillow": DataLoader(Listed(lambda at: {"img": Image.fromarray(RAW[at]), "cls": LABELS[at]}), 7),
    "bytes": Listed(lambda at: (torch.from_numpy(RAW[at]).permute(2, 0, 1), LABELS[at : at + 1])),
    "arrays": Listed(lambda at: (RAW[at], float(LABELS[at]))),
    "four parts": Listed(lambda at: Named(X[at], Y[at], f"{at}.png")),
    "one-hot": Listed(lambda at: (X[at], torch.eye(K)[Y[at]])),
    "stream": Stream(pair),
    "loader of a stream": DataLoader(Stream(pair), 7),
    "stream of batches": Stream(lambda at: (X[at * 8 : at * 8 + 8], Y[at * 8 : at * 8 + 8]), lambda: range(5)),
    "collated stream": DataLoader(Stream(pair), 7, collate_fn=collated),
    "list of pairs": [(X[at], Y[at]) for at in range(N)],
    "list of batches": [(X[:30], Y[:30]), (X[30:], Y[30:])],
    "one batch": (X, Y),
    "a list of two": [X, Y],
    "columns": Columns(),
}


@pytest.mark.parametrize("limit", [None, 10])
@pytest.mark.parametrize("form", SAME)
def test_any_form_gives_the_examples_of_the_arrays(form, limit):
    arrays, split = given(X, Y, limit=limit), given(SAME[form], limit=limit)
    assert torch.equal(split.x[:], arrays.x[:])
    assert split.y.tolist() == arrays.y.tolist()
    assert split.identity() == arrays.identity()
    assert ("10 of 40 images" in described(split)) == (limit == 10)


def test_workers_read_the_same_and_the_users_random_numbers_stay():
    state = torch.random.get_rng_state()
    split = given(DataLoader(WHOLE, 7, shuffle=True, num_workers=1), limit=5)
    assert split.identity() == given(X, Y, limit=5).identity()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_was_done_otherwise_is_said():
    said = described(given(DataLoader(Listed(lambda at: (X[at], Y[at], at)), 7, shuffle=True, drop_last=True)))
    assert "loader's Listed" in said
    assert "not the loader's random one" in said
    assert "drop_last is not applied" in said
    assert "left out: 1 more in each example" in said


def test_a_sampler_of_some_examples_keeps_their_numbers():
    few = given(DataLoader(WHOLE, 4, sampler=SubsetRandomSampler([30, 2, 17])))
    assert few.ids.tolist() == [2, 17, 30]
    assert torch.equal(few.x[:], X[[2, 17, 30]])
    assert "SubsetRandomSampler" in described(few)


def test_a_limit_reads_no_other_images_where_labels_are_kept():
    kept = Listed(pair).keep(LABELS)
    chosen = given(kept, limit=8).ids.tolist()
    assert {*kept.read} == {*chosen}
    kept.keep(LABELS[::-1])  # not those that come with the images
    assert given(kept, limit=8).ids.tolist() == chosen


def test_image_folders_of_torchvision(tmp_path):
    found = folder(tmp_path)
    split = given(DataLoader(found, 8, shuffle=True))
    order = [int(path.rsplit("/")[-1][:2]) for path, _ in found.samples]
    assert torch.equal(split.x[:], X[order])
    assert split.y.tolist() == LABELS[order].tolist()


def test_grey_images_of_pillow_have_one_channel_unless_others_have_three():
    grey = Listed(lambda at: (Image.fromarray(RAW[at]).convert("L"), 0))
    assert given(grey).x.shape == (N, 1, 6, 5)
    mixed = Listed(lambda at: (Image.fromarray(RAW[at]).convert("L" if at % 2 else "RGB"), 0))
    for data in (mixed, Subset(mixed, range(1, N))):
        split = given(data)
        assert split.x.shape[1:] == (3, 6, 5)
        assert "grey images given three channels" in described(split)
        at = 1 if data is mixed else 0
        assert torch.equal(split.x[at], torch.tensor(np.asarray(grey[1][0]) / np.float32(255)).expand(3, 6, 5))


def flipped(at):
    return (X[at] if torch.rand(()) < 0.5 else X[at].flip(-1)), Y[at]


def normalised(*values):
    wrapped = Subset(datasets.FakeData(4, (3, 8, 8), K, transforms.Compose([transforms.ToTensor(), *values])), [0, 1])
    return DataLoader(wrapped, 2)


REFUSED = {
    "augmentation": (Listed(flipped), "Listed draws at random"),
    "augmentation in a loader": (DataLoader(Listed(flipped), 7), "the loader's Listed draws at random"),
    "shuffled stream": (Stream(pair, lambda: torch.randperm(N).tolist()), "Stream draws at random"),
    "weights": (DataLoader(WHOLE, sampler=WeightedRandomSampler([1.0] * N, N)), "WeightedRandomSampler draws"),
    "with replacement": (DataLoader(WHOLE, sampler=RandomSampler(WHOLE, replacement=True)), "RandomSampler draws"),
    "normalised": (normalised(transforms.Normalize([0.5] * 3, [0.25] * 3)), r"mean=\[0.5, 0.5, 0.5\], std=\[0.25"),
    "normalised, unseen": (Listed(lambda at: (X[at] * 4 - 2, 0)), "take Normalize out .* mean and std"),
    "sizes": (Listed(lambda at: (X[at, :, : 6 - at % 2], 0)), "image 1 is 3 x 5 x 5, image 0 3 x 6 x 5.*CenterCrop"),
    "types": (Listed(lambda at: (X[at] if at % 2 else X[at].double(), 0)), "image 1 is float32, image 0 float64"),
    "empty": (Listed(pair, 0), "has no examples"),
    "empty stream": (Stream(pair, lambda: []), "has no examples"),
    "negative": (Listed(lambda at: (X[at], -1)), "label -1 is negative.*leave examples without a label out"),
    "no label": (Listed(lambda at: X[at]), "gives Tensor objects, without labels"),
    "label None": (Listed(lambda at: (X[at], None)), "gives the label None"),
    "names": (Listed(lambda at: (X[at], "cat")), "expected a tensor or an array of numbers"),
    "several labels": (Listed(lambda at: (X[at], torch.tensor([1, 1, 0]))), "row 0 is not one-hot"),
    "ragged labels": (Listed(lambda at: (X[at], [0] * (1 + at % 2))), r"labels have the shapes \[\(1,\), \(2,\)\]"),
    "turned round": (Listed(lambda at: (int(Y[at]), X[at])), "gives int where the image should be"),
    "keys": (Listed(lambda at: {"photo": X[at], "label": 0}), "gives the keys photo, label, expected one of image"),
    "a dictionary of splits": ({"train": WHOLE, "test": WHOLE}, "dict with train, test: give one"),
    "a generator": ((pair(at) for at in range(N)), "read only once"),
    "one label for a batch": (Listed(lambda at: (X, 3)), "gives 40 images but 0 labels in a batch"),
    "a number": (3, "x is a int: expected images and labels, a Dataset or a DataLoader"),
    "arrays alone": (X, "the labels are missing"),
}


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_sentence(case, limit):
    data, words = REFUSED[case]
    of_all = case in ("sizes", "types", "ragged labels", "names")  # said of the first images, or of all labels
    with pytest.raises(InputError, match=words if limit is None or not of_all else "image|labels") as raised:
        given(data, limit=limit)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_ids_may_be_given_and_grey_batches_need_no_channels():
    split = given(WHOLE, ids=range(100, 100 + N), limit=7)
    assert split.ids.tolist() == given(X, Y, ids=range(100, 100 + N), limit=7).ids.tolist()
    assert torch.equal(split.x[:], X[split.ids - 100])
    assert torch.equal(given((X[:, 0], Y)).x[:], X[:, :1])


def test_labels_of_a_dataset_are_not_given_twice():
    with pytest.raises(InputError, match="brings its labels: leave y out"):
        given(WHOLE, Y)
    with pytest.raises(InputError, match="limit 0 must be a whole number, at least 1"):
        given(WHOLE, limit=0)


def test_evaluate_takes_a_loader_and_says_how_it_was_read(tmp_path):
    x = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = Toy()(x).argmax(1)
    options = {"attacks": ["fgsm"], "eps": 0.1, "results": tmp_path}
    report = robench.evaluate(Toy(), DataLoader(TensorDataset(x, y), 3, shuffle=True), **options)
    assert "in the dataset's order" in str(report)
    again = robench.evaluate(Toy(), x, torch.eye(10)[y], **options)
    assert again.results[0].source == "stored"
    few = robench.evaluate(Toy(), TensorDataset(x, y), limit=4, **options)
    assert few.results[0].record.header.n == 4


def test_grey_images_with_three_channels_fit_a_network_that_takes_one():
    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    grey = TensorDataset(x.expand(-1, 3, -1, -1), Toy()(x).argmax(1))
    report = robench.evaluate(Toy(), grey, attacks=["fgsm"], eps=0.01)
    assert report["fgsm"].clean_accuracy == 100
    assert "grey images given as one channel" in str(report)


def test_corruptions_of_a_dataset_are_those_of_its_arrays():
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = Toy()(x).argmax(1)
    held = robench.evaluate_corruptions(Toy(), DataLoader(TensorDataset(x, y), 4, shuffle=True), spatial=True, limit=3)
    arrays = robench.evaluate_corruptions(Toy(), x, y, spatial=True, limit=3)
    assert [line.hash for line in held.sweep.lines] == [line.hash for line in arrays.sweep.lines]


def test_values_that_end_far_below_one_are_doubted():
    with pytest.warns(UserWarning) as seen:
        robench.evaluate(Toy(), torch.full((4, 1, 4, 4), 15 / 255), [0, 1, 2, 3], attacks=["fgsm"], eps=0.1)
    assert any("the largest value is 0.0588 (15 of 255): if it stands" in str(each.message) for each in seen)
