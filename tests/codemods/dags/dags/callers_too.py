from airflow import DAG
from datetime import datetime
import house.jobs
with DAG('house_weekly', start_date=datetime(2024, 1, 1)) as weekly:
    house.jobs.say("week")
    house.jobs.pull_rows.partial().expand(source=["north", "south"])
