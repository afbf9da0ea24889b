"""What makes an operator a step: it has no ``__init__`` and touches four methods of KubernetesPodOperator."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stepbridge.failures import StepbridgeError
from stepbridge_airflow import outcomes
from stepbridge_airflow.options import StepOptions

if TYPE_CHECKING:
    from stepbridge_airflow.execution import Execution


class StepMixin:
    """A step instead of a container with a command; goes before a pod operator in the list of bases."""

    step: StepOptions
    python_callable: Callable[..., Any]
    op_args: Any
    op_kwargs: Any
    templates_dict: dict[str, Any] | None
    show_return_value_in_logs: bool
    do_xcom_push: bool
    step_run_uri: str = ""
    """Where the record of the run lies, once it is known; for the link."""
    _execution: Execution | None = None

    def execute(self, context: Any) -> Any:
        """Take an equal run's result or run the step, push what it pushed, and give what old readers know."""
        from stepbridge_airflow.execution import Execution

        execution = Execution(self, context)
        self._execution = execution
        try:
            finished = execution.run()
        except StepbridgeError as error:
            raise outcomes.exception_for(error) from error
        finally:
            self.step_run_uri = execution.record_uri
            self._execution = None
        for key, value in finished.pushed.items():
            context["ti"].xcom_push(key=key, value=value)
        if self.show_return_value_in_logs:
            _log(self).info("Done. Returned value was: %s", finished.value)
        return finished.value

    def on_kill(self) -> None:
        """End the run."""
        execution = self._execution
        if execution is not None:
            execution.cancel()
            return
        _pod_operator(self).on_kill()

    @contextlib.contextmanager
    def _no_sidecar(self) -> Iterator[None]:
        """Hide ``do_xcom_push`` from KubernetesPodOperator, for which it means a second container."""
        wanted, self.do_xcom_push = self.do_xcom_push, False
        try:
            yield
        finally:
            self.do_xcom_push = wanted

    def build_pod_request_obj(self, context: Any = None, **kwargs: Any) -> Any:
        """The pod, without a sidecar for XCom."""
        with self._no_sidecar():
            return _pod_operator(self).build_pod_request_obj(context, **kwargs)

    def trigger_reentry(self, context: Any, event: Mapping[str, Any]) -> Any:
        """Go on after a deferral, without a sidecar for XCom."""
        with self._no_sidecar():
            return _pod_operator(self).trigger_reentry(context, event)

    def is_istio_enabled(self, pod: Any) -> bool:  # noqa: ARG002 - KubernetesPodOperator's signature
        """True: the end of the step's own container is the end of the step, whatever else was injected."""
        return True


def _pod_operator(operator: StepMixin) -> Any:
    """The methods of the pod operator that the mixin stands before."""
    return super(StepMixin, operator)


def _log(operator: Any) -> Any:
    return operator.log
