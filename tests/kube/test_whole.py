"""The double as a whole: many pods, many watchers, what it records, what it leaves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

from kubernetes import client, config, watch

from kube.double import Cluster

# -- as a whole


def test_two_hundred_pods_at_once(cluster, core):
    from kubernetes_asyncio import client as async_client
    from kubernetes_asyncio import config as async_config

    async def go():
        api = await async_config.new_client_from_config(str(cluster.kubeconfig))
        async with api:
            v1 = async_client.CoreV1Api(api)
            base = {"name": "base", "image": "i", "command": ["sleep", "1"]}

            async def one(number):
                spec = {"restartPolicy": "Never", "containers": [base]}
                body = {"metadata": {"name": f"p{number}"}, "spec": spec}
                await v1.create_namespaced_pod("default", body)
                while True:
                    pod = await v1.read_namespaced_pod(f"p{number}", "default")
                    if pod.status.phase == "Succeeded":
                        break
                    await asyncio.sleep(0.5)
                await v1.delete_namespaced_pod(f"p{number}", "default")

            await asyncio.gather(*(one(number) for number in range(200)))

    began = time.monotonic()
    asyncio.run(go())
    assert time.monotonic() - began < 30
    assert len(cluster.created) == 200
    assert cluster.pods() == []
    cluster.wait_for(lambda: cluster.processes() == [])


def test_watchers_do_not_spin(cluster, core):
    stop = threading.Event()
    watches = [watch.Watch() for _ in range(20)]

    def look(one):
        for _ in one.stream(core.list_namespaced_pod, "default", timeout_seconds=2):
            if stop.is_set():
                break

    threads = [threading.Thread(target=look, args=(one,)) for one in watches]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    began = time.process_time()
    time.sleep(1)
    assert time.process_time() - began < 0.3
    for thread in threads:
        thread.join()


def test_requests_are_seen(cluster, core):
    core.list_namespaced_pod("default", label_selector="a=b", limit=5)
    seen = cluster.requests[-1]
    assert (seen.method, seen.path, seen.status) == ("GET", "/api/v1/namespaces/default/pods", 200)
    assert seen.query == {"labelSelector": "a=b", "limit": "5"}
    assert "OpenAPI-Generator" in seen.user_agent


def test_alone_as_a_program(tmp_path):
    tests = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "kube.double", "--root", str(tmp_path)]
    with subprocess.Popen(command, cwd=tests, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        core = client.CoreV1Api(config.new_client_from_config(path))
        base = {"name": "base", "image": "i", "command": ["sleep", "600"]}
        core.create_namespaced_pod("default", {"metadata": {"name": "x"}, "spec": {"containers": [base]}})
        end = time.monotonic() + 10
        while core.read_namespaced_pod("x", "default").status.phase != "Running":
            assert time.monotonic() < end
            time.sleep(0.02)
        process.terminate()
        assert process.wait(10) == 0


def test_closing_kills_everything(tmp_path):
    with Cluster(tmp_path) as cluster:
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
        script = "trap '' TERM; setsid sleep 600 & sleep 600"
        base = {"name": "base", "image": "i", "command": ["sh", "-c", script]}
        core.create_namespaced_pod("default", {"metadata": {"name": "x"}, "spec": {"containers": [base]}})
        cluster.wait_for(lambda: len(cluster.processes()) == 3)
    assert cluster.processes() == []
