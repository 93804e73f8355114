"""The engine: resumption bit for bit, broken and hostile checkpoints, losses, averages, several optimizers."""

import csv
import logging
import pickle
import zipfile

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel

from pipeline.errors import PipelineError
from pipeline.rng import generator
from pipeline.training import checkpoints
from pipeline.training.engine import fit
from pipeline.training.sampling import NumberedBatches


class Noisy:
    """Ten samples whose noise depends on the sample number."""

    def __len__(self):
        return 10

    def __getitem__(self, key):
        index, number = key
        x = generator(3, "x", number).normal(size=(2, 8, 8)).astype("float32") + index
        return {"x": torch.from_numpy(x), "y": torch.tensor([index / 10.0])}


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(2, 4, 3),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.5),
            torch.nn.Flatten(),
            torch.nn.LazyLinear(1),
        )
        self.body(torch.zeros(2, 2, 8, 8))

    def forward(self, x, y, mode="loss"):
        return {"loss_mse": (self.body(x).float() - y).square().mean()}


class TwoSteps(Net):
    def train_step(self, data, optim_wrapper):
        with optim_wrapper["conv"].optim_context(self):
            loss = self(**data)["loss_mse"]
        optim_wrapper["conv"].update_params(loss)
        with optim_wrapper["head"].optim_context(self):
            second = self(**data)["loss_mse"]
        optim_wrapper["head"].update_params(second)
        return {"first": loss.detach(), "second": second.detach()}


def adam(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def two(model):
    return {"conv": torch.optim.Adam(model.body[0].parameters(), lr=0.01), "head": torch.optim.SGD(model.body[5].parameters(), lr=0.01)}


def train(state, iterations=6, **more):
    settings = {"build": Net, "optimizers": adam, "samples": Noisy(), "what": "net", "batch": 4, "seed": 5, "threads": 1, **more}
    return fit(state=state, iterations=iterations, **settings)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


class Crash(Hook):
    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "more",
    [{"precision": "bf16"}, {"precision": "fp32", "average": 0.9, "clip_grad": 0.1}, {"build": TwoSteps, "optimizers": two}],
    ids=["bf16", "averaged", "two optimizers"],
)
def test_a_resumed_training_equals_a_straight_one_bit_for_bit(tmp_path, more):
    more = {"lr_factor": lambda i: (i + 1) / 6, **more}
    straight = train(tmp_path / "a", **more)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", save_seconds=0, custom_hooks=[Crash(4)], **more)
    assert checkpoints.newest(tmp_path / "b")["iteration"] == 4
    resumed = train(tmp_path / "b", **more)
    assert_equal(weights(straight), weights(resumed))
    table = (tmp_path / "a" / "losses.csv").read_text()
    assert table == (tmp_path / "b" / "losses.csv").read_text()
    assert len(table.splitlines()) == 7


def test_rows_after_the_checkpoint_are_cut_on_resumption(tmp_path):
    train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", iterations=6, custom_hooks=[Crash(3)])
    assert len((tmp_path / "b" / "losses.csv").read_text().splitlines()) == 4
    with open(tmp_path / "b" / "losses.csv", "a") as file:
        file.write("0")  # a row that a kill has cut
    train(tmp_path / "b")
    assert (tmp_path / "a" / "losses.csv").read_text() == (tmp_path / "b" / "losses.csv").read_text()


def test_a_finished_training_is_returned_again_without_a_step(tmp_path):
    first = train(tmp_path)
    assert_equal(weights(first), weights(train(tmp_path, custom_hooks=[Crash(0)])))
    with pytest.raises(PipelineError, match="holds a training of 6 iterations, 3 are asked for"):
        train(tmp_path, iterations=3)


def test_workers_do_not_change_the_result(tmp_path):
    assert_equal(weights(train(tmp_path / "a", 3)), weights(train(tmp_path / "b", 3, workers=2)))


def test_seeds_change_the_result(tmp_path):
    one, other = train(tmp_path / "a", 1), train(tmp_path / "b", 1, seed=6)
    assert not torch.equal(one.body[0].weight, other.body[0].weight)


@pytest.mark.parametrize("damage", ["torn", "flipped"])
def test_a_corrupt_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, damage):
    straight = train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", save_seconds=0, custom_hooks=[Crash(4)])
    older, newer = checkpoints.stored(tmp_path / "b")
    data = bytearray(newer.read_bytes())
    if damage == "torn":
        del data[len(data) // 2 :]
    else:
        data[data.index(checkpoints.load_state(newer)["state_dict"]["body.0.bias"].numpy().tobytes())] ^= 1
    newer.write_bytes(data)
    resumed = train(tmp_path / "b")
    assert f"{newer}: cannot be read" in caplog.text and "going back" in caplog.text
    assert_equal(weights(straight), weights(resumed))
    assert older.name == "iteration_000000003.pth"


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.attack
@pytest.mark.parametrize("container", ["zip", "pickle"])
def test_a_hostile_pickle_does_not_run(tmp_path, container):
    hostile = Hostile(str(tmp_path / "ran"))
    if container == "zip":
        torch.save({"state_dict": hostile}, tmp_path / "a.pth")
    else:
        (tmp_path / "a.pth").write_bytes(pickle.dumps(hostile, protocol=2))
    with pytest.raises(PipelineError, match="cannot be read as tensors"):
        checkpoints.load_state(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(PipelineError, match="no such file"):
        checkpoints.load_state(tmp_path / "absent.pth")


@pytest.mark.attack
def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(tmp_path):
    """Torch stores tensors as they are; a few kB that unpack to hundreds of MB are no checkpoint."""
    torch.save({"a": torch.zeros(10)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as sound, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for one in sound.infolist():
            bomb.writestr(one.filename, bytes(100_000_000) if "/data/" in one.filename else sound.read(one))
    assert (tmp_path / "bomb.pth").stat().st_size < 200_000
    with pytest.raises(PipelineError, match=r"bomb\.pth: cannot be read as tensors \(it is compressed"):
        checkpoints.load_state(tmp_path / "bomb.pth")
    assert checkpoints.load_state(tmp_path / "a.pth")["a"].shape == (10,)


class Diverging(Net):
    """Its loss is NaN from the fourth step on."""

    steps = 0

    def forward(self, x, y, mode="loss"):
        self.steps += 1
        return {"loss_mse": super().forward(x, y)["loss_mse"] * (float("nan") if self.steps > 3 else 1)}


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    with pytest.raises(PipelineError, match=r"stopped at iteration 4 of 6: loss is nan, loss_mse is nan; .*iteration_000000003\.pth"):
        train(tmp_path, build=Diverging, save_seconds=0)
    assert all(torch.isfinite(value).all() for value in checkpoints.newest(tmp_path)["state_dict"].values())


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    class Spoil(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.model.body[0].bias.data[0] = float("inf")

    with pytest.raises(PipelineError, match=r"iteration 1 of 1: 1 weights are not finite, the first is body\.0\.bias; no checkpoint"):
        train(tmp_path, 1, custom_hooks=[Spoil()])
    assert not checkpoints.stored(tmp_path)


def test_two_checkpoints_are_kept_and_leftovers_removed(tmp_path):
    (tmp_path / ".iteration_000000001.pth.77.tmp").write_text("half")
    train(tmp_path, save_seconds=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iteration_000000005.pth", "iteration_000000006.pth", "losses.csv"]


def test_the_learning_rate_follows_the_factor(tmp_path):
    seen = []

    class Watch(Hook):
        priority = "LOW"

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            seen.append(runner.optim_wrapper.optimizer.param_groups[0]["lr"])

    train(tmp_path, 3, lr_factor=lambda i: [0.5, 1.0, 0.25][i], custom_hooks=[Watch()])
    assert seen == pytest.approx([0.005, 0.01, 0.0025])


def test_the_average_of_the_weights_by_hand(tmp_path):
    seen = []

    class Watch(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append(runner.model.body[0].weight.detach().clone())

    averaged = train(tmp_path, 3, average=0.15, custom_hooks=[Watch()])
    # decay min(0.15, (1 + t) / (10 + t)): the first copies, then 2/11 -> 0.15 and 3/12 -> 0.15
    expected = seen[0] * 0.15 + seen[1] * 0.85
    expected = expected * 0.15 + seen[2] * 0.85
    torch.testing.assert_close(averaged.body[0].weight.detach(), expected)


def test_a_long_training_has_a_short_table_of_means(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.training.engine.ROWS", 2)
    train(tmp_path / "means", 5)
    monkeypatch.undo()
    train(tmp_path / "all", 5)
    means, single = (list(csv.DictReader((tmp_path / name / "losses.csv").open())) for name in ("means", "all"))
    assert [row["iteration"] for row in means] == ["2", "4", "5"]
    first = (float(single[0]["loss"]) + float(single[1]["loss"])) / 2
    assert float(means[0]["loss"]) == pytest.approx(first, rel=1e-4)
    assert float(means[2]["loss"]) == float(single[4]["loss"])


def test_progress_is_a_sparse_log_and_nothing_else_is_written(tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO)
    train(tmp_path, 30)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 10 and lines[0].startswith("net: iteration 3 of 30; loss ") and lines[0].endswith(" s left")
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_batches_go_through_every_image_once_an_epoch_whatever_the_start():
    drawn = [pair for batch in NumberedBatches(10, 4, 0, 5, seed=1) for pair in batch]
    assert [number for _, number in drawn] == list(range(20))
    assert sorted(index for index, _ in drawn[:10]) == sorted(index for index, _ in drawn[10:]) == list(range(10))
    assert [index for index, _ in drawn[:10]] != [index for index, _ in drawn[10:]]
    assert list(NumberedBatches(10, 4, 3, 5, seed=1)) == [drawn[12:16], drawn[16:20]]
    ranks = [next(iter(NumberedBatches(10, 4, 0, 1, seed=1, rank=rank, world=2))) for rank in (0, 1)]
    assert ranks == [drawn[0:4:2], drawn[1:4:2]]
    with pytest.raises(PipelineError, match="a batch of 3 cannot be shared by 2 processes"):
        NumberedBatches(10, 3, 0, 1, seed=1, world=2)
