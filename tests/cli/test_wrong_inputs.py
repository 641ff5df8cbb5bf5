"""Wrong inputs of all kinds: the exit code, one sentence that names the thing and the mend, and nothing is written."""

import os
from pathlib import Path

import pytest

from robench import paths
from robench.data import find_dataset
from tests.support.wrong import furnish

OURS = ("eval", "--model", "net.py:good", "--dataset", "npz:good.npz", "--eps", "0.1", "--attack", "fgsm")
CARD = ("card", "init", "--model", "net.py:good", "--dataset", "npz:good.npz")
CHECK = ("check", "--model", "pgdat", "--attack", "fgsm", "--limit", "60")


def known(*options, attack="fgsm"):
    """A registered defense."""
    return "eval", "--model", "pgdat", "--attack", attack, *options


def model(name, *options):
    """Another network on good data."""
    return "eval", "--model", name, *OURS[3:], *options


def network(function):
    return model(f"net.py:{function}")


def weights(file):
    return *OURS, "--weights", file


def data(place, *options):
    return known("--dataset", place, "--eps", "0.1", *options)


def npz(name):
    return data(f"npz:{name}.npz")


def folder(name, *options):
    return data(f"folder:{name}", *options)


def parquet(name, *options):
    return data(f"parquet:{name}.parquet", *options)


def check(*options):
    return *CHECK, *options


WRONG = [
    # options of eval
    (("eval",), "--model", "robench eval --help"),
    (("evl",), "No such command 'evl'", "'eval'"),
    (known("--colour", "red"), "--colour", "--help"),
    (known("--limit", "few"), "--limit", "whole number"),
    (known("--limit", "0"), "--limit 0", "at least 1"),
    (known("--seed", "-1"), "seed -1", "not be negative"),
    (known("--batch-size", "many"), "--batch-size 'many'", "auto nor a positive number"),
    (known("--device", "tpu"), "--device 'tpu'", "use auto, cpu"),
    (known("--precision", "fp8"), "--precision", "'fp32', 'tf32', 'bf16'"),
    (known("--search", "fast"), "--search", "'plain', 'fused'"),
    (known("--engine", "dask"), "--engine", "'local', 'ray'"),
    (known("--ray-address", "h:1"), "'h:1'", "add --engine ray"),
    (known("--limit", "5", "--sample", "5"), "--limit and --sample", "leave one out"),
    (known("--example", "9999"), "example 9999", "ids lie between"),
    (known("--max-queries", "10"), "--max-queries 10", "--battery blackbox"),
    (known("--ensemble"), "--ensemble", "--battery transfer"),
    (known("--substitute", "alp"), "--substitute", "--battery transfer"),
    (known(attack="transfer-pgd-20"), "transfer", "--substitute"),
    (known("--data-dir", "nowhere"), "--data-dir 'nowhere'", "not a folder"),
    (known("--results", "good.npz"), "--results 'good.npz'", "name a folder"),
    (known("--json", "empty"), "--json 'empty'", "name a file"),
    # names
    (model("pgdta"), "'pgdta'", "digits/pgdat"),
    (model("net.py"), "net.py", "net.py:make_model"),
    (model("nofile.pt"), "'nofile.pt'", "name a file"),
    (model("empty.pt"), "'empty.pt'", "is a folder"),
    (known(attack="pgd20"), "'pgd20'", "pgd-20"),
    (("eval", "--model", "pgdat", "--battery", "papr"), "'papr'", "paper"),
    (data("digit"), "'digit'", "digits"),
    (data("zip:good.npz"), "'zip'", "folder, npz, parquet"),
    (data("good.npz"), "'good.npz'", "npz:good.npz"),
    (known("--name", "mine"), "--name mine", "has its card's name"),
    ((*OURS, "--name", "pgdat"), "--name pgdat", "choose another"),
    ((*OURS, "--name", "a/b"), "--name 'a/b'", "letters, digits"),
    # eps and norms
    (known("--eps", "8"), "eps '8'", "8/255"),
    (known("--eps", "-1"), "eps '-1'", "must be positive"),
    (known("--eps", "nan"), "eps 'nan'", "8/255"),
    (known("--eps", "eight"), "eps 'eight'", "8/255"),
    (known("--eps", ""), "eps ''", "8/255"),
    (known("--norm", "l3"), "--norm", "'linf', 'l2'"),
    (known("--norm", "l2"), "no default eps for l2", "--eps"),
    ((*OURS[:5], *OURS[7:]), "no default eps", "--eps"),
    ((*OURS[:3], *OURS[5:]), "does not say its data", "--dataset"),
    # options of networks
    ((*OURS, "--mean", "0.5"), "--mean and --std", "give both"),
    ((*OURS, "--mean", "a", "--std", "b"), "--mean 'a'", "numbers with commas"),
    ((*OURS, "--mean", "0.5", "--std", "0"), "--std 0", "above 0"),
    ((*OURS, "--mean", "127", "--std", "50"), "--mean 127", "by 255"),
    ((*OURS, "--mean", "none", "--std", "1"), "--mean none", "leave --std 1 out"),
    ((*OURS, "--scale", "5"), "--scale", "--head he"),
    ((*OURS, "--variant", "x"), "--variant", "recognised weights"),
    ((*OURS, "--key", "x"), "--key x", "add --weights"),
    ((*OURS, "--feature-layer", "nope"), "'nope'", "known: layer"),
    ((*OURS, "--single-logit"), "expected one logit", "leave --single-logit"),
    ((*OURS, "--rejects", "flag"), "expected a pair of logits", "leave --rejects flag"),
    ((*OURS, "--rejects", "logit"), "label 9 is beyond the network's 9 classes", "class numbers"),
    ((*OURS, "--rejects", "flag", "--single-logit"), "--rejects", "return two logits"),
    (known("--mean", "none"), "is a card", "leave --mean"),
    # networks
    (network("absent"), "no 'absent'", "name a function"),
    (network("two"), "2 classes", "class numbers"),
    (network("nan"), "NaN or infinite logits", "mend the network"),
    (network("dice"), "differently twice", "switch its randomness off"),
    (network("text"), "returns str", "expected a tensor"),
    (network("rows"), "(19, 10)", "expected logits (20, K)"),
    (network("one"), "one value for each image", "--single-logit"),
    (network("neighbours"), "other images of the batch", "every image alone"),
    (network("raises"), "no such GPU", "mend it"),
    (network("leaves"), "ends the program", "mend it"),
    (network("nothing"), "NoneType", "torch.nn.Module"),
    (network("arguments"), "(depth)", "takes none"),
    (model("broken.py:good"), "SyntaxError", "mend it"),
    # weights
    (weights("shapes.pt"), "layer.weight is 10x65, not 10x64", "name other weights"),
    (weights("keys.pt"), "2 missing (layer.weight, layer.bias)", "name other weights"),
    (weights("twice.pt"), "2 different networks", "--key NAME"),
    ((*weights("twice.pt"), "--key", "zzz"), "'zzz'", "name another with --key"),
    (weights("page.pt"), "HTML page", "fetch"),
    (weights("cut.pt"), "'cut.pt' cannot be read", "fetch"),
    (weights("void.pt"), "'void.pt' cannot be read", "fetch"),
    (weights("empty"), "it is a folder", "name a file"),
    (model("keys.pt"), "of no network that robench knows", "file.py:function"),
    # arrays
    (npz("bright"), "[0, 255]", "divide by 255"),
    (npz("negative"), "[-0.5, 0.5]", "take Normalize out"),
    (npz("nan"), "NaN or infinite pixels", "repair or drop"),
    (npz("flat"), "(20, 63)", "expected (N, C, H, W)"),
    (npz("complex"), "complex64", "convert them to floats"),
    (npz("int32"), "int32", "divide by the largest value of their scale"),
    (npz("large"), "(1, 40, 40)", "of its own shape"),
    (npz("floats"), "5.5 is no whole number", "one class number per image"),
    (npz("below"), "-20 is negative", "leave examples without a label out"),
    (npz("beyond"), "beyond the network's 10 classes", "class numbers"),
    (npz("short"), "20 images but 19 labels", "one label per image"),
    (npz("none"), "no examples", "give at least one"),
    (npz("objects"), "Object arrays", "numpy.savez"),
    (npz("keys"), "no 'x', only foo", "by these names"),
    (npz("cut"), "not a zip file", "numpy.savez"),
    (npz("nowhere"), "npz:nowhere.npz", "there is no file"),
    # folders and Parquet files
    (folder("nowhere"), "folder:nowhere", "there is no folder"),
    (folder("empty"), "'empty' holds no images", "one subfolder per class"),
    (folder("sizes"), "is 9x9", "one size"),
    (folder("loose"), "without labels", "one subfolder per class"),
    (folder("damaged"), "damaged/1/b.png", "restore it or take it out"),
    (folder("gone"), "gone/1/b.png", "restore it or take it out"),
    (folder("training"), "no test part, only train", "name one of them"),
    ((*OURS[:4], "folder:three", *OURS[5:]), "2 classes, the network 10", "--classes FILE"),
    (folder("images", "--classes", "names.txt"), "names 'cat' twice", "one line per class"),
    (folder("images", "--classes", "empty.txt"), "'empty.txt' is empty", "one class name per line"),
    (folder("images", "--classes", "no.txt"), "'no.txt'", "one name per line"),
    (folder("images", "--resize", "big"), "--resize 'big'", "number of pixels"),
    (folder("images", "--resize", "auto"), "--resize auto", "--resize N"),
    (folder("images", "--crop", "9"), "below --crop 9", "--resize 9"),
    ((*npz("good"), "--resize", "8"), "--resize", "leave them out"),
    (parquet("columns"), "columns picture, label", "rename the one to use"),
    (parquet("unlabelled"), "row 1: -1", "leave such rows out"),
    (parquet("bool"), "found bool", "expected class numbers"),
    (parquet("junk"), "'junk.parquet' cannot be read", "fetch it again"),
    # targets
    (known("--target", "12"), "target 12", "0 to 9"),
    (known("--target", "nine"), "'nine'", "known: 0, 1"),
    (known("--target", "good.npz"), "'good.npz'", "one class per line"),
    (("eval", "--model", "pgdat", "--battery", "corruptions", "--target", "3"), "--target", "leave the battery"),
    (("eval", "--model", "pgdat", "--battery", "corruptions", "--example", "3"), "--example", "leave the battery"),
    # cards
    (model("cards/mine/no.toml"), "cards/mine/no.toml", "name another file"),
    (model("cards/typo"), "'recipe.epochs'", "required"),
    (("eval", "--model", "cards/unweighted", "--attack", "fgsm"), "no weights", "robench train"),
    (("eval", "--model", "cards/other", "--attack", "fgsm"), "64x512, not 32x512", "name other weights"),
    (("eval", "--model", "cards/changed", "--attack", "fgsm"), "has sha256", "restore the file"),
    (("eval", "--model", "stanza.toml", "--attack", "fgsm"), "stanza.toml", "not valid TOML"),
    (("card", "init"), "--model", "robench card init --help"),
    (("card", "init", "--model", "pgdat", "--dataset", "digits"), "a card is there already", "--weights"),
    ((*CARD, "--name", "a/b"), "--name 'a/b'", "letters, digits"),
    ((*CARD, "--out", "good.npz"), "good.npz", "name another place"),
    ((*CARD, "--weights", "keys.pt"), "'keys.pt' do not fit", "name other weights"),
    ((*CARD, "--resize", "8"), "--resize", "leave them out"),
    (("card", "init", "--model", "net.py:two", "--dataset", "digits"), "2 classes, but 'digits' has 10", "--dataset"),
    # the gate
    (check("--max-drop", "-1"), "--max-drop -1", "0 or more"),
    (check("--alpha", "2"), "--alpha 2", "between 0 and 1"),
    (check("--baseline", "good.npz"), "'good.npz'", "restore the file"),
    (check("--baseline", "junk.jsonl"), "'junk.jsonl', line 1", "restore the file"),
    (check("--baseline", "altered.jsonl"), "'altered.jsonl' was changed", "restore the file"),
    (check("--baseline", "short.jsonl"), "'short.jsonl' ends before", "restore the file"),
    (check("--junit", "empty"), "--junit 'empty'", "name a file"),
    (check("--attack", "transfer-pgd-20"), "'transfer-pgd-20'", "leave the attack out"),
    (("check", "--model", "pgdat", "--battery", "corruptions"), "no attacks to compare", "choose another"),
    # what reads records
    (("report", "robustnes"), "'robustnes'", "robustness"),
    (("report", "--name", "mine"), "--name", "chosen by --model"),
    (("report", "--battery", "papr"), "'papr'", "paper"),
    (("report", "--format", "xls"), "'xls'", "'md', 'csv'"),
    (("report", "--out", "x.doc"), "--out", ".md, .csv"),
    (("report", "--out", "empty", "--format", "md"), "--out 'empty'", "name a file"),
    (("report", "--against", "paper"), "--against paper", "name one, table2"),
    (("report", "--all", "--norm", "linf"), "--all", "take the other options out"),
    (("report", "table2", "--model", "pgdat"), "'table2'", "narrow only robustness"),
    (("report", "--results", "junk.jsonl"), "--results 'junk.jsonl'", "name a folder"),
    (("leaderboard", "--out", "empty"), "--out 'empty'", "name a file"),
    (("publish", "--results", "good.npz"), "--results 'good.npz'", "name a folder"),
    (("verify", "--results", "good.npz"), "--results 'good.npz'", "name a folder"),
    (("diff", "pgdat"), "'B'", "robench diff --help"),
    (("diff", "pgdat", "junk.jsonl"), "'junk.jsonl', line 1", "restore the file"),
    (("diff", "pgdat", "no.jsonl"), "'no.jsonl' does not exist", "name a file of records"),
    (("list", "modles"), "'modles'", "'models'"),
    (("show", "attack", "mim20"), "'mim20'", "mim-20"),
    (("show", "battery", "quik"), "'quik'", "quick"),
    (("show", "model"), "'name'", "robench show model --help"),
    (("download",), "'dataset'", "cifar10, cifar100"),
    (("download", "imagenet"), "'imagenet'", "'cifar10', 'cifar100'"),
    # what trains or measures
    (("train",), "--model NAME", "--all"),
    (("train", "--all", "--dataset", "digit"), "'digit'", "digits"),
    (("train", "--model", "pgdat", "--data-dir", "nowhere"), "--data-dir 'nowhere'", "not a folder"),
    (("train", "--model", "pgdat", "--out", "good.npz"), "good.npz", "--out"),
    (("train", "--model", "pgdat", "--device", "tpu"), "'tpu'", "use auto, cpu"),
    (("reproduce", "table2", "--dataset", "nope"), "'nope'", "known: digits"),
    (("reproduce", "table2", "--results", "good.npz"), "good.npz", "--results"),
]
NOT_COMPARABLE = [
    (check("--baseline", "nowhere.jsonl"), "no records of digits/pgdat", "--update"),
    (
        check("--baseline", "foreign", "--norm", "l2", "--eps", "1"),
        "does not compare with 'foreign/digits/pgdat.jsonl'",
        "--update",
    ),
    (("report", "--results", "empty", "--dataset", "nope"), "'empty' has no records to show", "robench eval"),
    (("leaderboard", "--results", "empty"), "no published records", "robench publish"),
    (("publish", "--results", "nowhere"), "no raw records", "robench eval"),
    (("verify", "--results", "nowhere"), "no stored adversarial examples", "--save-adversarial"),
    (("diff", "pgdat", "empty"), "no records of 'empty'", "robench eval"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = tmp_path_factory.mktemp("place")
    few = find_dataset("digits").load().first(20)
    furnish(made, few.x[:], few.y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.CACHE, str(tmp_path_factory.mktemp("cache")))
        patch.chdir(made)
        yield made


def files(place: Path) -> dict[str, int]:
    """All files with the times of their last changes, without those of Python's compiler and without locks."""
    found = [Path(where) / name for where, _, names in os.walk(place) for name in names]
    return {str(path): path.lstat().st_mtime_ns for path in found if path.suffix not in (".pyc", ".lock")}


def titles(rows: list[tuple[tuple[str, ...], str, str]]) -> list[str]:
    """The words of the commands, without what most of them share."""
    return [" ".join(word for word in command if word not in OURS[3:]) for command, *_ in rows]


def ends(cli, place, command, code, words):
    before = files(place)
    # By default records of a checkout go to its results folder.
    options = ("--results", "records") if command[0] == "eval" and "--results" not in command else ()
    said = cli(*command, *options)
    assert said.code == code, said.err
    for word in words:
        assert word in said.sentence
    assert said.out == ""
    assert files(place) == before


@pytest.mark.parametrize(("command", "thing", "mend"), WRONG, ids=titles(WRONG))
def test_wrong_usage_and_bad_input_exit_2(cli, place, command, thing, mend):
    ends(cli, place, command, 2, (thing, mend))


@pytest.mark.parametrize(("command", "thing", "mend"), NOT_COMPARABLE, ids=titles(NOT_COMPARABLE))
def test_what_is_missing_or_not_comparable_exits_3(cli, place, command, thing, mend):
    ends(cli, place, command, 3, (thing, mend))


@pytest.mark.parametrize("group", [(), ("show",), ("card",), ("list",)], ids=" ".join)
def test_a_group_without_a_command_shows_its_commands(cli, place, group):
    said = cli(*group)
    assert said.code == 2
    assert "needs a command: name one of those above" in said.sentence
    assert "Commands:" in said.out
