"""Which arguments a step takes, by name; checked against the real signatures by a test."""

from __future__ import annotations

AIRFLOW = frozenset(
    {
        "task_id", "owner", "email", "email_on_retry", "email_on_failure", "retries", "retry_delay",
        "retry_exponential_backoff", "max_retry_delay", "retry_policy", "start_date", "end_date",
        "depends_on_past", "ignore_first_depends_on_past", "wait_for_past_depends_before_skipping",
        "wait_for_downstream", "dag", "params", "default_args", "priority_weight", "weight_rule", "queue",
        "pool", "pool_slots", "sla", "execution_timeout", "on_execute_callback", "on_failure_callback",
        "on_success_callback", "on_retry_callback", "on_skipped_callback", "pre_execute", "post_execute",
        "trigger_rule", "resources", "run_as_user", "task_concurrency", "map_index_template",
        "max_active_tis_per_dag", "max_active_tis_per_dagrun", "executor", "executor_config", "do_xcom_push",
        "multiple_outputs", "inlets", "outlets", "task_group", "doc", "doc_md", "doc_json", "doc_yaml",
        "doc_rst", "task_display_name", "logger_name", "allow_nested_operators",
        "render_template_as_native_obj",
    }
)  # fmt: skip
"""Of Airflow's BaseOperator, in any version from 2.4 on."""

PYTHON = frozenset(
    {
        "python_callable", "op_args", "op_kwargs", "templates_dict", "templates_exts",
        "show_return_value_in_logs",
    }
)  # fmt: skip
"""Of PythonOperator."""

POD = frozenset(
    {
        "kubernetes_conn_id", "namespace", "image", "name", "random_name_suffix", "ports", "volume_mounts",
        "volumes", "env_vars", "env_from", "secrets", "in_cluster", "cluster_context", "labels",
        "reattach_on_restart", "durable", "startup_timeout_seconds", "startup_check_interval_seconds",
        "schedule_timeout_seconds", "get_logs", "base_container_name",
        "base_container_status_polling_interval", "init_container_logs", "container_logs",
        "image_pull_policy", "annotations", "container_resources", "affinity", "config_file",
        "runtime_class_name", "node_selector", "image_pull_secrets", "service_account_name",
        "automount_service_account_token", "hostnetwork", "host_aliases", "tolerations", "security_context",
        "container_security_context", "dnspolicy", "dns_config", "hostname", "subdomain", "schedulername",
        "full_pod_spec", "init_containers", "log_events_on_failure", "log_events_on_startup",
        "pod_template_file", "pod_template_dict", "priority_class_name", "pod_runtime_info_envs",
        "termination_grace_period", "configmaps", "skip_on_exit_code", "deferrable", "poll_interval",
        "log_pod_spec_on_failure", "on_finish_action", "on_kill_action", "termination_message_policy",
        "active_deadline_seconds", "callbacks", "logging_interval", "trigger_kwargs",
        "container_name_log_prefix_enabled", "log_formatter",
    }
)  # fmt: skip
"""Of KubernetesPodOperator, those that a step takes."""

STEP = frozenset(
    {
        "step_resources", "cache", "cache_version", "ignore", "max_age", "salt", "single_flight",
        "context_keys", "variables", "connections", "files", "roots", "code", "backend", "store", "timeout",
        "budgets", "placement", "infra_retries", "on_oom", "xcom", "step_id", "environment", "python",
    }
)  # fmt: skip
"""Of a step alone."""

OWNED = {
    "cmds": "a step's container runs the step; leave it out, or keep KubernetesPodOperator",
    "arguments": "a step's container runs the step; leave it out, or keep KubernetesPodOperator",
    "progress_callback": "leave it out; callbacks=... takes a KubernetesPodOperatorCallback",
    "xcom_sidecar_container_security_context": "leave it out; container_security_context is the step's own",
}
"""Arguments of KubernetesPodOperator that a step refuses, and what to do."""

TAKEN = AIRFLOW | PYTHON | POD | STEP
"""All that a step takes."""

OLD = {
    "sla": "sla does nothing in Airflow 3",
    "task_concurrency": "task_concurrency is max_active_tis_per_dag since Airflow 2.2, and gone in 3",
}
"""Arguments that newer Airflow does not know, for the old task and the step alike."""
