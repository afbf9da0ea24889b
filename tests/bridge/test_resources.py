"""Resources: the short forms, both sides, and what is refused."""

from __future__ import annotations

import pytest

from stepbridge import Resources
from stepbridge.failures import TypeProblem
from stepbridge.resources import GPU_RESOURCE, Gpu, parse_gpu, quantity


@pytest.mark.parametrize(
    ("asked", "gpu"),
    [
        (1, Gpu(1)),
        ("1", Gpu(1)),
        ("A10G:1", Gpu(1, "A10G")),
        ("A10G", Gpu(1, "A10G")),
        ("H100:8", Gpu(8, "H100")),
    ],
)
def test_gpu_forms(asked: int | str, gpu: Gpu) -> None:
    assert parse_gpu(asked) == gpu
    for resources in (
        Resources(gpu=asked),
        Resources(limits={"gpu": asked}),
        Resources(requests={"gpu": asked}),
    ):
        amounts = resources.amounts()
        assert amounts.gpu == gpu
        assert amounts.requests[GPU_RESOURCE] == amounts.limits[GPU_RESOURCE] == str(gpu.count)


def test_gpu_under_its_kubernetes_name_in_limits_alone() -> None:
    assert Resources(limits={GPU_RESOURCE: 2}).amounts().gpu == Gpu(2)


def test_model_in_one_place_and_count_in_another_agree() -> None:
    assert Resources(gpu="A10G:1", limits={GPU_RESOURCE: "1"}).amounts().gpu == Gpu(1, "A10G")


def test_short_forms() -> None:
    amounts = Resources(cpu=4, memory="16Gi", ephemeral_storage="50Gi").amounts()
    assert amounts.requests == {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "50Gi"}
    assert amounts.limits == {"memory": "16Gi", "ephemeral-storage": "50Gi"}


def test_other_devices_pass_through() -> None:
    assert Resources(limits={"aws.amazon.com/neuron": "1"}).amounts().limits == {"aws.amazon.com/neuron": "1"}


@pytest.mark.parametrize(
    "bad",
    [
        {"gpu": "1:A10G"},
        {"gpu": True},
        {"gpu": -1},
        {"gpu": "A10G:"},
        {"gpu": 1, "limits": {"gpu": 2}},
        {"gpu": "A10G:1", "limits": {"gpu": "T4:1"}},
        {"memory": "16 gigs"},
        {"memory": "16Gi", "requests": {"memory": "8Gi"}},
        {"shm": "big"},
        {"limits": {"gpus": 1}},
        {"requests": {"memory": "8Gi"}, "limits": {"memory": "4Gi"}},
    ],
)
def test_refused(bad: dict[str, object]) -> None:
    with pytest.raises(TypeProblem) as caught:
        Resources(**bad)  # type: ignore[arg-type]
    assert caught.value.code.id == "SB110"


def test_unknown_model_is_refused_only_where_a_list_is_closed() -> None:
    resources = Resources(gpu="Z99:1")
    assert resources.amounts().gpu.model == "Z99"
    with pytest.raises(TypeProblem, match="Z99"):
        resources.amounts(known_gpus={"A10G", "T4"})


def test_a_context_of_decimals_that_a_dag_file_set_changes_nothing() -> None:
    import decimal

    with decimal.localcontext() as context:
        context.prec = 3
        assert quantity("1234567Mi", place="memory") == 1234567 * 2**20
