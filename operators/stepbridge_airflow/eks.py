"""``EksStepOperator``: a step on an Amazon EKS cluster that is named, not configured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.amazon.aws.hooks.eks import EksHook
from airflow.providers.amazon.aws.operators.eks import EksPodOperator
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from stepbridge.failures import OperatorProblem
from stepbridge_airflow import declaring

_CACHED = ("hook", "client", "pod_manager")
_OWNED = {
    "trigger_kwargs": "leave it out: EksPodOperator gives its trigger the cluster's name",
    "config_file": "leave it out: EksPodOperator makes its own from cluster_name, region and aws_conn_id",
}


@contextlib.contextmanager
def kube_config(operator: Any) -> Iterator[None]:
    """A kubeconfig of the operator's cluster with fresh AWS credentials, for as long as the block lasts.

    Inside, ``operator.client`` reaches that cluster; outside it must not be touched, for it would be made
    from whatever kubeconfig the worker has, and kept. A block within a block is the outer one. Costs one
    DescribeCluster, and a process for the token at the first use of ``operator.client``.

    :param operator: an ``EksPodOperator`` whose templates are rendered.
    :raises AirflowException, botocore.exceptions.ClientError: where AWS refuses or knows no such cluster.
    """
    if operator.config_file:
        yield
        return
    hook = EksHook(aws_conn_id=operator.aws_conn_id, region_name=operator.region)
    with hook.generate_config_file_with_credentials(
        eks_cluster_name=operator.cluster_name, pod_namespace=operator.namespace
    ) as (config_file, credentials_file):
        _forget_clients(operator)
        operator.config_file, operator._credentials_file_path = config_file, credentials_file
        try:
            yield
        finally:
            operator.config_file, operator._credentials_file_path = None, None
            _forget_clients(operator)


def _forget_clients(operator: Any) -> None:
    for name in _CACHED:
        operator.__dict__.pop(name, None)


class OneKubeConfig:
    """What EksPodOperator does, with one kubeconfig for all of it; stands before it in the list of bases.

    EksPodOperator's own ``execute`` and ``trigger_reentry`` write a kubeconfig, call KubernetesPodOperator's
    and remove it. A step calls them several times and looks at its pod in between.
    """

    def execute(self, context: Any) -> Any:
        """KubernetesPodOperator's, inside :func:`kube_config`."""
        with kube_config(self):
            return _pod_operator(self).execute(context)

    def trigger_reentry(self, context: Any, event: Mapping[str, Any]) -> Any:
        """KubernetesPodOperator's, inside :func:`kube_config`."""
        with kube_config(self):
            return _pod_operator(self).trigger_reentry(context, event)

    def on_kill(self) -> None:
        """KubernetesPodOperator's, inside :func:`kube_config`."""
        with kube_config(self):
            _pod_operator(self).on_kill()


def _pod_operator(operator: Any) -> Any:
    return super(EksPodOperator, operator)


class EksStepOperator(declaring.StepBase, OneKubeConfig, EksPodOperator):
    """Run a Python function as a step in a pod of an Amazon EKS cluster.

    Takes what :class:`stepbridge_airflow.StepOperator` takes, except ``config_file`` and ``trigger_kwargs``,
    and:

    :param cluster_name: name of the cluster (templated).
    :param region: region of the cluster; None for the one of the connection (templated).
    :param aws_conn_id: Airflow connection with the AWS credentials; None for those of the worker (templated).
    :param pod_name: name of the pod; ``name`` is the same (templated).
    """

    template_fields: Sequence[str] = (
        *declaring.template_fields(KubernetesPodOperator),
        *sorted(set(EksPodOperator.template_fields) - set(KubernetesPodOperator.template_fields)),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = declaring.template_fields_renderers(EksPodOperator)

    def __init__(
        self, *, cluster_name: str, name: str | None = None, pod_name: str | None = None, **kwargs: Any
    ) -> None:
        place = f"task {kwargs.get('task_id')!r}"
        for owned, hint in _OWNED.items():
            if kwargs.get(owned) is not None:
                raise OperatorProblem("SB501", f"{owned!r} belongs to EksPodOperator", place=place, hint=hint)
        if name is not None and pod_name is not None and name != pod_name:
            raise OperatorProblem(
                "SB502",
                f"name={name!r} and pod_name={pod_name!r} are one name",
                place=place,
                hint="leave one of them out",
            )
        super().__init__(cluster_name=cluster_name, pod_name=pod_name or name, **kwargs)

    def cluster_access(self) -> contextlib.AbstractContextManager[None]:
        """Inside, ``self.client`` reaches the cluster."""
        return kube_config(self)
