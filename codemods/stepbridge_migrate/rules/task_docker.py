"""``@task.docker`` becomes ``@task.step`` in a pod: what a pod has no equal for is refused or named."""

from __future__ import annotations

import re

from stepbridge_migrate.model import Argument, Finding, Kind, Needs, Site
from stepbridge_migrate.rules.judging import argument, constant, is_template, named
from stepbridge_migrate.rules.rule import Example, Rewrite, Rule

_REFUSED = frozenset(
    {
        "mounts", "devices", "device_requests", "user", "privileged", "cap_add", "entrypoint", "command",
        "extra_hosts", "dns", "dns_search", "ulimits", "ipc_mode", "private_environment", "env_file",
        "retrieve_output", "retrieve_output_path", "working_dir", "shm_size", "tmpfs", "volumes",
    }
)  # fmt: skip
_LEFT_OUT = frozenset(
    {
        "docker_url", "api_version", "auto_remove", "docker_conn_id", "mount_tmp_dir", "tmp_dir",
        "host_tmp_dir", "network_mode", "xcom_all", "tty", "log_opts_max_size", "log_opts_max_file",
        "container_name", "hostname", "tls_ca_cert", "tls_client_cert", "tls_client_key", "tls_verify",
        "tls_hostname", "tls_ssl_version", "tls_assert_hostname", "force_pull", "timeout", "python_command",
        "port_bindings", "labels", "reset_dind",
    }
)  # fmt: skip
_VALUES = frozenset({"use_dill", "serializer", "expect_airflow"})
_AMOUNTS = ("mem_limit", "cpus")
HANDLED = frozenset({*_REFUSED, *_LEFT_OUT, *_VALUES, *_AMOUNTS, "environment"})
_MEMORY = re.compile(r"^(\d+)([bkmg])?b?$", re.IGNORECASE)
_UNITS = {"b": "", "k": "Ki", "m": "Mi", "g": "Gi"}


def judge(site: Site, needs: Needs) -> list[Finding]:
    """What there is to say of the container's arguments."""
    found = [one for item, common in named(site) if (one := _one(item, common)) is not None]
    image = argument(site, "image")
    shown = needs.image or (" ".join(image.value.split())[:80] if image is not None else "its image")
    return [*found, Finding("SM316", f"the step runs in {shown}", site.place)]


def _one(item: Argument, common: bool) -> Finding | None:
    name, shown = item.name or "", f"{item.name}={' '.join(item.value.split())[:80]}"
    if name in _REFUSED and constant(item) not in (None, False, [], {}, ()):
        hint = "ask for GPUs with --gpu, and take it out" if name == "device_requests" else ""
        return Finding("SM229", shown, item.place, hint)
    if name == "environment" and is_template(item):
        return Finding("SM227", f"{shown} is a template", item.place)
    if name in _AMOUNTS and (common or _amount(item) is None):
        return Finding(
            "SM229", f"{shown} is no literal", item.place, "ask with --memory or --cpu, and take it out"
        )
    if name in _LEFT_OUT:
        return Finding("SM318", f"{shown} is left out", item.place)
    if name in _VALUES:
        return Finding("SM313", f"{shown} is left out", item.place)
    return None


def _amount(item: Argument) -> str | None:
    """A literal amount in Kubernetes' words."""
    value = constant(item)
    if item.name == "cpus":
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    found = _MEMORY.match(str(value)) if isinstance(value, int | str) else None
    return f"{found[1]}{_UNITS[(found[2] or 'b').lower()]}" if found else None


def rewrite(site: Site) -> Rewrite:
    """Image and environment stay; amounts are the step's resources; the rest is left out."""
    own = [(one, one.name or "") for one, common in named(site) if not common]
    amounts = {name: _amount(one) for one, name in own if name in _AMOUNTS}
    there = {one.name for one, _ in named(site)}
    return Rewrite(
        drop=tuple(one for one, name in own if name in HANDLED - {"environment"}),
        add=() if "backend" in there else (("backend", '"pod"'),),
        needs=Needs(cpu=amounts.get("cpus"), memory=amounts.get("mem_limit")),
    )


_HEAD = """\
from airflow.decorators import dag, task
{more}
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
    name="task_docker",
    version=1,
    kinds=frozenset({Kind.TASK_DOCKER}),
    title="@task.docker -> @task.step",
    docs="The decorator becomes ``@task.step`` in a pod of the same image. ``mem_limit`` and ``cpus`` are "
    "the step's resources. Mounts, devices, users and the like have no equal and are refused; how the worker "
    "reaches its Docker daemon is left out, with a warning for each. The image needs stepbridge.",
    examples=(
        Example(
            "the image stays",
            _HEAD.format(more="")
            + """\
    @task.docker(image="registry/train:3", auto_remove="success", mem_limit="2g")
"""
            + _TAIL,
            _HEAD.format(more="from stepbridge import Resources\n")
            + """\
    @task.step(image="registry/train:3", backend="pod", resources=Resources(memory="2Gi"))
"""
            + _TAIL,
        ),
    ),
    judge=judge,
    rewrite=rewrite,
    handled=HANDLED,
    refusals=("SM227", "SM229"),
)
