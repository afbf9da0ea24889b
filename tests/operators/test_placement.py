"""GPU models, spot and on-demand as conditions on nodes; the table as data that a team extends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from stepbridge.failures import OperatorProblem, TypeProblem
from stepbridge.resources import Gpu
from stepbridge_airflow import accelerators
from stepbridge_airflow.accelerators import Accelerators
from stepbridge_airflow.placement import Placed, Placement, Term, placed

KARPENTER = "karpenter.k8s.aws/instance-gpu-name"
CAPACITY = "karpenter.sh/capacity-type"
AUTO = "eks.amazonaws.com/instance-gpu-name"
EKS = "eks.amazonaws.com/capacityType"
GKE = "cloud.google.com/gke-accelerator"
GKE_SPOT = "cloud.google.com/gke-provisioning"
NODE_GROUP = "k8s.amazonaws.com/accelerator"
PRODUCT = "nvidia.com/gpu.product"


def satisfied(found: Placed, node: Mapping[str, str]) -> bool:
    """Whether the scheduler would take *node*: Kubernetes' own rule for required node affinity."""

    def holds(term: Term) -> bool:
        return all((node.get(one.label) in one.values) is (one.operator == "In") for one in term)

    return not found.terms or any(holds(term) for term in found.terms)


NODES = {
    "karpenter g5": {
        KARPENTER: "a10g",
        CAPACITY: "on-demand",
    },
    "karpenter g5 spot": {
        KARPENTER: "a10g",
        CAPACITY: "spot",
    },
    "auto mode g5": {
        AUTO: "a10g",
        CAPACITY: "on-demand",
    },
    "discovered g5": {PRODUCT: "NVIDIA-A10G"},
    "shared g5": {PRODUCT: "NVIDIA-A10G-SHARED"},
    "node group g5": {
        NODE_GROUP: "nvidia-a10g",
        EKS: "ON_DEMAND",
    },
    "discovered g5 spot": {PRODUCT: "NVIDIA-A10G", EKS: "SPOT"},
    "gke t4": {
        GKE: "nvidia-tesla-t4",
        GKE_SPOT: "standard",
    },
    "gke t4 spot": {
        GKE: "nvidia-tesla-t4",
        GKE_SPOT: "spot",
    },
    "bare": {},
}
A10G = {name for name in NODES if "g5" in name}
SPOT = {name for name in NODES if "spot" in name}


@pytest.mark.parametrize(
    ("gpu", "capacity", "nodes"),
    [
        (Gpu(0), "any", set(NODES)),
        (Gpu(2), "any", set(NODES)),
        (Gpu(1, "A10G"), "any", A10G),
        (Gpu(1, "a10g"), "any", A10G),
        (Gpu(1, "A10G"), "spot", A10G & SPOT),
        (Gpu(1, "A10G"), "on-demand", A10G - SPOT),
        (Gpu(1, "T4"), "any", {"gke t4", "gke t4 spot"}),
        (Gpu(1, "T4"), "spot", {"gke t4 spot"}),
        (Gpu(0), "spot", SPOT),
        (Gpu(0), "on-demand", set(NODES) - SPOT),
    ],
)
def test_which_nodes_are_taken(gpu: Gpu, capacity: str, nodes: set[str]) -> None:
    found = placed(Placement(capacity), gpu, accelerators.packaged())  # type: ignore[arg-type]
    assert {name for name, labels in NODES.items() if satisfied(found, labels)} == nodes


def test_on_demand_runs_where_nodes_tell_nothing() -> None:
    assert satisfied(placed(Placement("on-demand"), Gpu(1), accelerators.packaged()), {})


def test_sizes_of_one_model_are_told_apart() -> None:
    small = {KARPENTER: "a100", "karpenter.k8s.aws/instance-gpu-memory": "40960"}
    large = small | {"karpenter.k8s.aws/instance-gpu-memory": "81920"}
    taken = [
        [
            satisfied(placed(Placement(), Gpu(1, model), accelerators.packaged()), node)
            for node in (small, large)
        ]
        for model in ("A100", "A100-40GB", "A100-80GB")
    ]
    assert taken == [[True, True], [True, False], [False, True]]


def test_tolerations_and_annotations() -> None:
    table = accelerators.packaged()
    assert placed(Placement(do_not_disrupt=False), Gpu(0), table) == Placed()
    gpu = placed(Placement(), Gpu(1), table)
    assert [(one.key, one.operator, one.effect) for one in gpu.tolerations] == [
        ("nvidia.com/gpu", "Exists", "NoSchedule")
    ]
    assert gpu.annotations == {
        "karpenter.sh/do-not-disrupt": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }
    spot = {one.key for one in placed(Placement("spot"), Gpu(0), table).tolerations}
    assert {"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"} <= spot


def test_an_unknown_model_is_a_product_of_nvidia() -> None:
    found = placed(Placement(), Gpu(1, "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"), accelerators.packaged())
    assert satisfied(found, {PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"})
    assert not satisfied(found, {PRODUCT: "NVIDIA-A100-SXM4-40GB"})


def test_a_closed_table_refuses_unknown_models() -> None:
    with pytest.raises(TypeProblem, match=r"SB110.*'Z9'.*A10G.*\[gpus\.Z9\]"):
        placed(Placement(), Gpu(1, "Z9"), accelerators.table(closed=True))
    with pytest.raises(TypeProblem, match="SB110"):
        placed(Placement(), Gpu(1, "Z9"), accelerators.table(schemes=("karpenter",)))


def team(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "accelerators.toml"
    path.write_text(text)
    return path


def test_a_team_extends_the_table(tmp_path: Path) -> None:
    path = team(
        tmp_path,
        """
        [schemes.ours]
        label = "example.com/gpu"

        [gpus.X1]
        ours = ["x-1"]

        [gpus.a10g]
        ours = ["big"]

        [capacity.ours]
        label = "example.com/spot"
        spot = ["yes"]

        [[tolerations.gpu]]
        key = "dedicated"
        value = "gpu"
        operator = "Equal"
        """,
    )
    table = accelerators.table(path, closed=True)
    assert satisfied(placed(Placement(), Gpu(1, "X1"), table), {"example.com/gpu": "x-1"})
    a10g = placed(Placement("spot"), Gpu(1, "A10G"), table)
    assert satisfied(a10g, {"example.com/gpu": "big", "example.com/spot": "yes"})
    assert satisfied(a10g, NODES["karpenter g5 spot"])
    assert [one.key for one in a10g.tolerations][:2] == ["nvidia.com/gpu", "dedicated"]
    assert len([name for name in table.names if name.lower() == "a10g"]) == 1
    only = accelerators.table(path, schemes=("ours",))
    assert len(placed(Placement(), Gpu(1, "A10G"), only).terms) == 1
    with pytest.raises(TypeProblem, match=r"SB110.*says nothing of GPU 'T4' for ours"):
        placed(Placement(), Gpu(1, "T4"), only)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[gpus", "cannot be read"),
        ("[gpu.X]", "'gpu'"),
        ("[gpus.X]\nnowhere = ['x']", "gpus.X has 'nowhere'"),
        ("[gpus.X]\nnvidia = 'x'", "gpus.X.nvidia is not a list of texts"),
        ("[schemes.a]\nlabel = 1", "schemes.a.label is not a text"),
        ("[schemes.a]\nlabel = 'l'\ncapacity = ['none']", "'none'"),
        ("[capacity.a]\nlabel = 'l'", "capacity.a.spot is not a list of texts"),
        ("[tolerations]\ngpu = 'x'", "tolerations.gpu is not a list of tables"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = team(tmp_path, text)
    with pytest.raises(OperatorProblem, match="SB502") as caught:
        accelerators.table(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_files_and_schemes_are_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorProblem, match=r"SB502.*none\.toml"):
        accelerators.table(tmp_path / "none.toml")
    with pytest.raises(OperatorProblem, match=r"SB502.*'azure'.*karpenter"):
        accelerators.table(schemes=("azure",))


def test_every_model_of_the_packaged_table_can_be_placed() -> None:
    table: Accelerators = accelerators.table(closed=True)
    assert {"A10G", "T4", "L4", "L40S", "A100", "H100", "H200", "V100"} <= set(table.names)
    for name in table.names:
        assert placed(Placement("spot"), Gpu(1, name), table).terms


def test_the_example_of_the_docs_is_a_table(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "pods.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    table = accelerators.table(team(tmp_path, example))
    assert satisfied(placed(Placement(), Gpu(1, "RTX6000"), table), {"example.com/gpu": "rtx"})
