"""What Airflow's provider discovery reads; imports nothing from Airflow."""

from __future__ import annotations

from typing import Any

from stepbridge import __version__

_SINCE = "0.1.0"


def _option(
    description: str, *, kind: str = "string", default: str = "", example: str = ""
) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": _SINCE,
        "type": kind,
        "example": example or None,
        "default": default,
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "store": _option(
        "Root URI of the store that holds artifacts, code, cache and run records. "
        "Empty: a folder below AIRFLOW_HOME.",
        example="s3://bucket/stepbridge",
    ),
    "endpoint": _option(
        "URL of another S3 endpoint; empty: what AWS_ENDPOINT_URL says, else AWS.",
        example="http://minio:9000",
    ),
    "region": _option("Region of the bucket; empty: what the AWS settings say.", example="eu-central-1"),
    "encryption": _option(
        "Server-side encryption of what is written: empty, AES256 or aws:kms.", example="aws:kms"
    ),
    "kms_key": _option("Id or ARN of the KMS key for aws:kms.", example="alias/stepbridge"),
    "path_style": _option(
        "Address buckets by path instead of by host name: true, false, or empty, which means by path "
        "where an endpoint is given.",
        example="true",
    ),
    "backend": _option(
        "Where a step runs unless it says otherwise: pod, local, or empty, which means pod where image or "
        "namespace is set here, else local.",
        example="pod",
    ),
    "image": _option("Container image of steps that name none.", example="registry/train:3"),
    "namespace": _option("Kubernetes namespace of steps that name none.", example="airflow"),
    "service_account": _option("Service account of step pods that name none.", example="steps"),
    "pod_python": _option("Interpreter inside the image.", default="python"),
    "run_limit": _option(
        "Seconds after which a step's run ends where neither the step nor the task has a time limit.",
        kind="float",
        default="86400",
    ),
    "repeat_delay": _option(
        "Seconds before the first repetition by infra_retries; doubled each time, at most two minutes.",
        kind="float",
        default="5",
    ),
    "api_patience": _option(
        "Seconds without an answer of the cluster's API server after which a step in a pod is given up.",
        kind="float",
        default="300",
    ),
    "look_interval": _option(
        "Seconds after which a deferred task looks at its running pod itself; its trigger waits for ever.",
        kind="float",
        default="1800",
    ),
    "accelerators": _option(
        "TOML file with more GPU models, or other labels of known ones; see docs/pods.md.",
        example="/opt/airflow/config/accelerators.toml",
    ),
    "gpu_labels": _option(
        "Which kinds of node labels tell GPU models, in this order: karpenter, eks-auto, gke, nvidia, eks; "
        "empty: any of them.",
        example="karpenter",
    ),
    "gpu_models": _option(
        "The only GPU models that a step may ask for; empty: any.",
        example="A10G L4",
    ),
    "inline_limit": _option(
        "Bytes of JSON up to which a value stays inside result and XCom; larger ones become artifacts.",
        kind="integer",
        default="1048576",
    ),
    "roots": _option(
        "More folders whose modules are first-party code, beside the DAGs and plugins folders; separated by "
        "the path separator of the system.",
        example="/opt/project/src",
    ),
    "python": _option(
        "Interpreter of the local backend; empty: the worker's own.", example="/opt/steps/bin/python"
    ),
    "shadow_pool": _option(
        "Pool of candidates and comparisons that name none; empty: Airflow's default pool. It must exist, or "
        "the runs with a shadow wait for ever.",
        example="shadow",
    ),
    "rest_connection": _option(
        "Airflow connection to Airflow's own REST API, by which comparisons on Airflow 3 learn what the "
        "templates of both tasks became; empty: they do not.",
        example="airflow_api",
    ),
    "compare_limit": _option(
        "Seconds after which a shadow's comparison is given up.",
        kind="float",
        default="3600",
    ),
    "grace": _option(
        "Seconds that a step gets between the request to stop and the end of its process.",
        kind="float",
        default="10",
    ),
}
"""Every option of the ``[stepbridge]`` section."""


def get_provider_info() -> dict[str, Any]:
    """The provider's description, as ``apache_airflow_provider`` asks for it."""
    return {
        "package-name": "stepbridge",
        "name": "stepbridge",
        "description": "Typed, cached steps for DAGs that already exist.",
        "versions": [__version__],
        "task-decorators": [{"name": "step", "class-name": "stepbridge_airflow.decorator.step_task"}],
        "extra-links": ["stepbridge_airflow.links.StepRunLink"],
        "config": {
            "stepbridge": {
                "description": "Where steps keep their data and how they run.",
                "options": OPTIONS,
            }
        },
    }
