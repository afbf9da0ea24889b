# move: load
# may refuse
from datetime import datetime

from airflow.sdk import DAG, dag, task
import asyncio

with DAG("async_task", start_date=datetime(2026, 1, 1), schedule=None):

    @task
    async def load(n):
        await asyncio.sleep(0)
        return n + 1

    load(1)
