"""From a request to what the step says of its pod."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from stepbridge import documents
from stepbridge.contract import StoreSettings
from stepbridge.resources import Resources
from stepbridge_airflow import accelerators, environment, pod_spec
from stepbridge_airflow.attempts import PodRecord
from stepbridge_airflow.config import Settings
from stepbridge_airflow.options import StepOptions
from stepbridge_airflow.placement import Placement
from stepbridge_airflow.pod_spec import PodParts

ATTEMPT_LABEL = "stepbridge-attempt"
DIGEST_NOTE = "stepbridge/request-digest"
REQUEST_NOTE = "stepbridge/request"
STEP_NOTE = "stepbridge/step"
_PUBLISHING = 900.0
"""Seconds that a pod gets beside its run for fetching inputs and publishing outputs."""


def parts_of(
    operator: Any,
    settings: Settings,
    *,
    uri: str,
    digest: str,
    step_id: str,
    record: PodRecord | None = None,
    variables: tuple[str, ...] = (),
    secret: str = "",
) -> PodParts:
    """What the step says of its pod.

    :param uri: of the request, :param digest: and its sha256.
    :param record: of the pod that is to be made, where earlier ones changed what it gets.
    :param secret: name of the Kubernetes Secret with Variables and connections; empty: none.
    """
    step: StepOptions = operator.step
    return PodParts(
        command=(step.python or settings.pod_python, "-P", "-m", "stepbridge.runner"),
        arguments=(uri, "--digest", digest, *_store_arguments(settings.store)),
        environment={**(environment.asked(variables) if variables else {}), **step.environment},
        environment_secret=secret,
        secrets=tuple(one for one in step.secrets if one.source == "kubernetes"),
        resources=with_memory(step.resources, record.memory if record else ""),
        placement=_placement(step.placement, on_demand=bool(record and record.on_demand)),
        deadline=deadline_of(operator, settings),
        grace=math.ceil(settings.grace) + 20,
        labels={ATTEMPT_LABEL: attempt_label(digest)},
        annotations={DIGEST_NOTE: digest, REQUEST_NOTE: uri, STEP_NOTE: step_id},
        image=settings.image,
        namespace=settings.namespace,
        service_account=settings.service_account,
        accelerators=accelerators.table(settings.accelerators, schemes=settings.gpu_labels),
    )


def image_of(operator: Any, settings: Settings) -> str:
    """The image of the step's pod for the cache key: its digest where it is named by one, else its name."""
    image = str(operator.image or "")
    if not image and (operator.pod_template_file or operator.pod_template_dict or operator.full_pod_spec):
        parts = parts_of(operator, settings, uri="", digest="", step_id="")
        image = str(pod_spec.shaped(operator, parts).full_pod_spec.spec.containers[0].image or "")
    image = image or settings.image
    _, at, digest = image.partition("@")
    return digest if at else image


def attempt_label(digest: str) -> str:
    """The value of the label by which one attempt's pod is found."""
    return digest[:40]


def secret_name(digest: str) -> str:
    """The name of the Secret that lives and dies with one attempt's pod."""
    return f"stepbridge-{digest[:40]}"


def _store_arguments(settings: StoreSettings) -> tuple[str, ...]:
    if settings == StoreSettings(settings.root):
        return ()
    return ("--store", json.dumps(documents.to_json(settings), sort_keys=True))


def _placement(placement: Placement, *, on_demand: bool) -> Placement:
    return replace(placement, capacity="on-demand") if on_demand else placement


def with_memory(resources: Resources, memory: str) -> Resources:
    """*resources* with another memory limit and request; as they are where *memory* is empty."""
    if not memory:
        return resources
    return replace(
        resources,
        memory=memory,
        requests=_without_memory(resources.requests),
        limits=_without_memory(resources.limits),
    )


def _without_memory(given: Mapping[str, str | int | float]) -> dict[str, str | int | float]:
    return {name: value for name, value in given.items() if name not in {"memory", "mem"}}


def deadline_of(operator: Any, settings: Settings) -> int:
    """Seconds after which Kubernetes itself ends the pod, counted from its start on a node.

    All budgets from there on, time to fetch and publish, and the grace; no more than the task's
    ``execution_timeout`` or the total budget. There is always one: a worker may be lost.
    """
    step: StepOptions = operator.step
    budgets = step.filled_budgets
    run = step.timeout or step.budgets.run
    seconds = run.total_seconds() if run else settings.run_limit
    for budget in (budgets.pull, budgets.start):
        seconds += (budget or timedelta()).total_seconds()
    seconds += _PUBLISHING + settings.grace
    for bound in (operator.execution_timeout, budgets.total):
        if bound is not None:
            seconds = min(seconds, bound.total_seconds())
    return max(1, math.ceil(seconds))
