"""engine: every request is answered, by the network, with as few calls as the sizes allow; or with an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archivecolor.errors import PictureError
from archivecolor.inference import cuda_streams
from archivecolor.inference.batching import BATCHES_IN_FLIGHT, BatchScheduler
from archivecolor.inference.cuda_streams import HostDevice
from archivecolor.networks import NETWORKS

CPU = torch.device("cpu")
PATIENCE_S = 20


class Recorder(nn.Module):
    """ab = (L, -2 L); notes the shape of every batch, and can be held up, run out of memory, or break."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.threads: set[str] = set()
        self.may_go, self.entered = threading.Event(), threading.Event()
        self.may_go.set()
        self.fits = 1000
        self.error: Exception | None = None
        self.was_training = False

    def forward(self, l_net: Tensor) -> Tensor:
        self.entered.set()
        assert self.may_go.wait(PATIENCE_S)
        self.shapes.append(tuple(l_net.shape))
        self.threads.add(threading.current_thread().name)
        self.was_training |= self.training
        if self.error:
            raise self.error
        if len(l_net) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return torch.cat([l_net, -2 * l_net], dim=1)


@contextmanager
def running(network: Recorder, precision: str = "bf16", batch: int = 4) -> Iterator[BatchScheduler]:
    """One lane that takes batches, as on a GPU; the numbers of `picture` are exact in bf16."""
    engine = BatchScheduler(network, CPU, precision, batch, workers=1)
    engine.batch = batch
    try:
        yield engine
    finally:
        network.may_go.set()
        engine.close()
        assert not any(thread.is_alive() for thread in engine._threads)


def picture(value: float, height: int = 3, width: int = 5) -> np.ndarray:
    return (np.arange(height * width, dtype=np.float32).reshape(height, width) + np.float32(value)) / 64


def check(answers: list[Future[np.ndarray]], pictures: list[np.ndarray]) -> None:
    assert not wait(answers, PATIENCE_S).not_done
    for answer, request in zip(answers, pictures, strict=True):
        assert answer.result().dtype == np.float32
        np.testing.assert_array_equal(answer.result(), np.stack([request, -2 * request]))


def submit_while_busy(
    engine: BatchScheduler, network: Recorder, pictures: list[np.ndarray]
) -> list[Future[np.ndarray]]:
    """Hands the pictures in while the network is held up by a first one, so that they gather."""
    network.may_go.clear()
    network.entered.clear()
    first = engine.submit(picture(0, 1, 1))
    assert network.entered.wait(PATIENCE_S)
    answers = [engine.submit(request) for request in pictures]
    network.may_go.set()
    first.result(PATIENCE_S)
    return answers


def test_answers_are_the_networks_own() -> None:
    network = Recorder()
    with running(network) as engine:
        requests = [picture(i, 2 + i % 3, 4) for i in range(12)]
        answers = [engine.submit(one) for one in requests]
        check(answers, requests)
        assert all(answer.seconds > 0 for answer in answers)
    assert network.threads == {"archivecolor-network"}
    assert not network.was_training


def test_what_waits_and_has_one_shape_goes_together() -> None:
    network = Recorder()
    with running(network) as engine:
        requests = [picture(i, *((3, 5) if i % 2 else (4, 4))) for i in range(12)]
        check(submit_while_busy(engine, network, requests), requests)
    assert network.shapes[0] == (1, 1, 1, 1)
    assert sorted(network.shapes[1:]) == [(2, 1, 3, 5), (2, 1, 4, 4), (4, 1, 3, 5), (4, 1, 4, 4)]
    assert network.shapes[1] == (4, 1, 4, 4), "the oldest first"


def test_a_lone_picture_does_not_wait_for_company() -> None:
    network = Recorder()
    with running(network, batch=64) as engine:
        check([engine.submit(picture(1))], [picture(1)])
    assert network.shapes == [(1, 1, 3, 5)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_cpu_pictures_go_alone_in_a_lane_for_every_core(precision: str) -> None:
    network = Recorder()
    engine = BatchScheduler(network, CPU, precision, 8, workers=3)
    requests = [picture(i) for i in range(12)]
    check(submit_while_busy(engine, network, requests), requests)
    engine.close()
    assert {shape[0] for shape in network.shapes} == {1}
    assert len(engine._threads) == 3
    assert not any(thread.is_alive() for thread in engine._threads)


def test_lanes_compute_at_the_same_time_each_on_one_core() -> None:
    """Two pictures meet inside the network, which one thread alone could never bring about."""
    met, seen = threading.Barrier(2), []

    class Meeting(nn.Module):
        def forward(self, l_net: Tensor) -> Tensor:
            met.wait(PATIENCE_S)
            seen.append(torch.get_num_threads())
            return torch.cat([l_net, l_net], dim=1)

    engine = BatchScheduler(Meeting(), CPU, "fp32", 1, workers=2)
    answers = [engine.submit(picture(i)) for i in range(2)]
    assert not wait(answers, PATIENCE_S).not_done
    engine.close()
    assert seen == [1, 1]


@pytest.mark.parametrize("name", ["lite", "resnet18"])
@pytest.mark.long
def test_narrow_filters_give_the_colours_of_autocast(name: str) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]().eval()
    request = np.random.default_rng(1).uniform(-1, 1, (64, 96)).astype(np.float32)
    x = torch.from_numpy(request)[None, None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        wanted = network(x)[0].float().numpy()
    with torch.inference_mode():
        exact = network(x)[0].numpy()
    engine = BatchScheduler(network, CPU, "bf16", 1, workers=1)
    result = engine.submit(request).result(PATIENCE_S)
    engine.close()
    assert network(x.bfloat16()).dtype == torch.bfloat16
    assert np.abs(result - exact).mean() <= 1.5 * np.abs(wanted - exact).mean()


@pytest.mark.parametrize("fits", [1, 2, 3])
def test_a_batch_too_large_for_the_memory_is_halved_and_all_are_answered(fits: int) -> None:
    network = Recorder()
    network.fits = fits
    with running(network, batch=8) as engine:
        requests = [picture(i) for i in range(8)]
        check(submit_while_busy(engine, network, requests), requests)
        assert engine.batch <= fits
        before = len(network.shapes)
        check(submit_while_busy(engine, network, requests), requests)
        assert max(shape[0] for shape in network.shapes[before:]) <= fits, "the lesson is kept"


def test_one_picture_too_large_for_the_memory_is_its_own_error() -> None:
    network = Recorder()
    network.fits = 0
    with running(network) as engine:
        answers = [engine.submit(picture(i, 2 + i, 7)) for i in range(3)]
        for i, answer in enumerate(answers):
            with pytest.raises(PictureError, match=f"7 x {2 + i}.*--size"):
                answer.result(PATIENCE_S)
        network.fits = 1
        check([engine.submit(picture(1))], [picture(1)])


def test_on_cuda_the_padding_is_halved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """There every batch is filled up to one size; a lone picture must not fail because seven copies do not fit."""
    monkeypatch.setattr(HostDevice, "pads", True)
    network = Recorder()
    network.fits = 2
    with running(network, batch=8) as engine:
        check([engine.submit(picture(1))], [picture(1)])
        assert [shape[0] for shape in network.shapes] == [8, 4, 2]
        requests = [picture(i) for i in range(7)]
        check(submit_while_busy(engine, network, requests), requests)
        assert {shape[0] for shape in network.shapes[3:]} == {2}


def test_several_batches_are_under_way_at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where the answers come later: they are waited for when the next batches have been sent off, in
    order, and never more than `BATCHES_IN_FLIGHT` of them."""
    log: list[str] = []

    class Later(HostDevice):
        def completion(self) -> Any:
            number = sum(what.startswith("sent") for what in log)
            log.append(f"sent {number}")
            return SimpleNamespace(query=lambda: True, synchronize=lambda: log.append(f"awaited {number}"))

    monkeypatch.setattr(cuda_streams, "HostDevice", Later)
    network = Recorder()
    with running(network, batch=1) as engine:
        engine._max_in_flight = BATCHES_IN_FLIGHT
        requests = [picture(i) for i in range(5)]
        check(submit_while_busy(engine, network, requests), requests)
    assert log == [
        "sent 0", "sent 1", "sent 2", "awaited 0", "sent 3", "awaited 1", "sent 4", "awaited 2", "sent 5", "awaited 3",
        "awaited 4", "awaited 5",
    ]  # fmt: skip


def test_a_request_is_started_while_batches_are_in_flight_and_the_queue_was_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread that waited for a batch in flight when its queue ran empty would leave the device idle."""
    started = threading.Semaphore(0)
    done = threading.Event()

    class Slow(HostDevice):
        def completion(self) -> Any:
            started.release()
            return SimpleNamespace(query=done.is_set, synchronize=lambda: done.wait(PATIENCE_S))

    monkeypatch.setattr(cuda_streams, "HostDevice", Slow)
    with running(Recorder(), batch=1) as engine:
        engine._max_in_flight = BATCHES_IN_FLIGHT
        answers = []
        for i in range(2):
            answers.append(engine.submit(picture(i)))
            assert started.acquire(timeout=PATIENCE_S), f"batch {i} waits for the one before it"
        assert not any(answer.done() for answer in answers)
        done.set()
        check(answers, [picture(i) for i in range(2)])


def test_an_error_in_the_network_reaches_the_callers_and_the_thread_goes_on() -> None:
    network = Recorder()
    with running(network) as engine:
        network.error = ValueError("a fault in the network")
        answers = [engine.submit(picture(i)) for i in range(5)]
        for answer in answers:
            with pytest.raises(ValueError, match="a fault in the network"):
                answer.result(PATIENCE_S)
        network.error = None
        check([engine.submit(picture(1))], [picture(1)])


def test_closing_answers_what_waits_and_ends_the_thread() -> None:
    network = Recorder()
    engine = BatchScheduler(network, CPU, "bf16", 2)
    requests = [picture(i) for i in range(7)]
    network.may_go.clear()
    answers = [engine.submit(one) for one in requests]
    closer = threading.Thread(target=engine.close)
    closer.start()
    network.may_go.set()
    closer.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in engine._threads)
    assert all(answer.done() for answer in answers)
    check(answers, requests)
    engine.close()  # a second time does no harm


def test_a_closed_engine_says_so_instead_of_never_answering() -> None:
    engine = BatchScheduler(Recorder(), CPU, "fp32", 1)
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(picture(1))


def test_many_threads_are_all_served() -> None:
    network = Recorder()
    wrong: list[int] = []
    with running(network, batch=5) as engine:

        def submit_pictures(worker: int) -> None:
            for i in range(25):
                request = picture(worker + i, 1 + i % 4, 6)
                got = engine.submit(request).result(PATIENCE_S)
                if not np.array_equal(got[0], request):
                    wrong.append(worker)

        threads = [threading.Thread(target=submit_pictures, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    assert wrong == []
    assert sum(shape[0] for shape in network.shapes) == 200
