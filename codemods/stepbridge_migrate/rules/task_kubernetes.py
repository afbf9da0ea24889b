"""``@task.kubernetes`` becomes ``@task.step``: the same pod arguments, the step's own way of running."""

from __future__ import annotations

from stepbridge_migrate.model import Finding, Kind, Needs, Site
from stepbridge_migrate.rules.judging import argument, constant, named
from stepbridge_migrate.rules.rule import Example, Rewrite, Rule

_LEFT_OUT = ("use_dill", "serializer")
HANDLED = frozenset(_LEFT_OUT)


def judge(site: Site, needs: Needs) -> list[Finding]:
    """What there is to say of the pod's arguments."""
    found = []
    for one, _ in named(site):
        if one.name in _LEFT_OUT:
            found.append(Finding("SM313", f"{one.name}={one.value} is left out", one.place))
    image = argument(site, "image")
    shown = needs.image or (" ".join(image.value.split())[:80] if image is not None else "its image")
    return [*found, Finding("SM316", f"the step runs in {shown}", site.place)]


def rewrite(site: Site) -> Rewrite:
    """The pod's arguments stay; what KubernetesPodOperator takes for granted is written out."""
    names = {one.name for one, _ in named(site)}
    add = []
    if "backend" not in names:
        add.append(("backend", '"pod"'))
    if "do_xcom_push" not in names:
        add.append(("do_xcom_push", "False"))
    own = [(one, one.name or "") for one, common in named(site) if not common]
    return Rewrite(
        drop=tuple(one for one, name in own if name in HANDLED),
        replace=tuple(
            (one, f'on_finish_action="{"delete_pod" if constant(one) else "keep_pod"}"')
            for one, name in own
            if name == "is_delete_operator_pod"
        ),
        add=tuple(add),
    )


_HEAD = """\
from airflow.decorators import dag, task

@dag(dag_id="d")
def make():
"""
_TAIL = """\
    def train():
        return 1

    train()

make()
"""

RULE = Rule(
    name="task_kubernetes",
    version=1,
    kinds=frozenset({Kind.TASK_KUBERNETES}),
    title="@task.kubernetes -> @task.step",
    docs="The decorator becomes ``@task.step``, which takes the same arguments of the pod. Written out is "
    "what was so by default: that it runs in a pod, and that nothing is pushed where the old call did not "
    "ask for it. ``is_delete_operator_pod`` becomes ``on_finish_action``. The image needs stepbridge.",
    examples=(
        Example(
            "the pod's arguments stay",
            _HEAD
            + """\
    @task.kubernetes(
        image="registry/train:3",
        namespace="ml",
        is_delete_operator_pod=True,
        do_xcom_push=True,
    )
"""
            + _TAIL,
            _HEAD
            + """\
    @task.step(
        image="registry/train:3",
        namespace="ml",
        on_finish_action="delete_pod",
        do_xcom_push=True,
        backend="pod",
    )
"""
            + _TAIL,
        ),
    ),
    judge=judge,
    rewrite=rewrite,
    handled=HANDLED,
    refusals=("SM228",),
)
