"""``StepOperator``: a typed step where a PythonOperator stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from stepbridge_airflow import declaring


class StepOperator(declaring.StepBase, KubernetesPodOperator):
    """Run a Python function as a step: in its own process or pod, typed, and cached if asked.

    Takes what PythonOperator takes, what KubernetesPodOperator takes except ``cmds`` and ``arguments``, and:

    :param python_callable: the function; its annotations are the step's interface.
    :param op_args: positional arguments (templated).
    :param op_kwargs: keyword arguments (templated).
    :param templates_dict: values to render, in the function's context under ``templates_dict`` (templated).
    :param templates_exts: endings of files that templated values may name, such as ``[".sql"]``.
    :param show_return_value_in_logs: log what the step gave.
    :param resources: processors, memory and GPUs.
    :param cache: ``off``, ``auto`` (take an equal run's result) or ``refresh`` (run and replace it).
    :param cache_version: stands for the code in the cache key.
    :param ignore: parameters that do not count for the cache key.
    :param max_age: how old a cached result may be.
    :param salt: any text that sets this step's cache apart.
    :param single_flight: of equal runs at the same time one runs, the others wait for its result.
    :param context_keys: the context keys that count, where analysis cannot tell.
    :param variables: Airflow Variables that the function reads by computed names.
    :param connections: Airflow connections that the function reads by computed names.
    :param files: more files to ship, relative to the DAG file's folder or absolute.
    :param roots: more folders whose modules are first-party code.
    :param code: ``ship`` (send the function and what it reaches) or ``image`` (it is installed there).
    :param backend: ``local``, or None for the configured one.
    :param store: root URI of another store than the configured one.
    :param timeout: how long the function may run.
    :param budgets: how long each part of a pod's life may take; ``budgets.run`` is the same as ``timeout``.
    :param placement: on which nodes a pod may run.
    :param infra_retries: how often a run that the infrastructure broke is repeated within the attempt.
    :param on_oom: repeat a run that was out of memory with a higher limit.
    :param xcom: ``auto`` (small values as they are, others by URI) or ``value`` (always the loaded object).
    :param secrets: :class:`stepbridge.Secret` references; KubernetesPodOperator's own are taken too.
    :param step_id: the name under which results are cached; None for ``dag_id.task_id``.
    :param environment: environment variables that are part of the step and of its cache key; no secrets.
    :param python: the interpreter, in the image or of the local backend; None for the configured one.
    :param schedule_timeout_seconds: KubernetesPodOperator's name for ``budgets.schedule``.
    :param startup_timeout_seconds: KubernetesPodOperator's name for ``budgets.pull``.
    :param startup_check_interval_seconds: how often a starting pod is looked at.
    :param log_events_on_failure: log the events of a pod that failed.
    :param log_pod_spec_on_failure: log the pod as well, with the values of its environment.

    KubernetesPodOperator's arguments that describe parts of a pod (``volumes``, ``affinity``,
    ``full_pod_spec``, ...) take objects of the kubernetes client or mappings with the names of YAML, which
    are templated.
    """

    template_fields: Sequence[str] = declaring.template_fields(KubernetesPodOperator)
    template_fields_renderers: ClassVar[dict[str, str]] = declaring.template_fields_renderers(
        KubernetesPodOperator
    )
