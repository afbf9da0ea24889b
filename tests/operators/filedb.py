"""A provider with a hook over sqlite files, for Airflow to find before it looks for providers."""

from __future__ import annotations

import sys

from throwaway import HOME

PROVIDER = """
def info():
    return {"package-name": "throwaway-filedb", "name": "filedb", "description": "", "versions": ["1.0"],
            "connection-types": [{"connection-type": "filedb", "hook-class-name": "filedb_hook.FileDbHook"}]}
"""

HOOK = """
import sqlite3
from airflow.providers.common.sql.hooks.sql import DbApiHook

class FileDbHook(DbApiHook):
    conn_name_attr = "filedb_conn_id"
    default_conn_name = "filedb_default"
    conn_type = "filedb"
    hook_name = "filedb"

    def get_conn(self):
        found = self.get_connection(self.filedb_conn_id)
        if not found.extra_dejson.get("key"):
            raise ValueError(f"no key for {found.password}")
        return sqlite3.connect(found.host)
"""


def register() -> None:
    """A provider with a hook over sqlite files, found by Airflow as any other."""
    site = HOME / "filedb_site"
    info = site / "throwaway_filedb-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "filedb_hook.py").write_text(HOOK)
    (site / "filedb_info.py").write_text(PROVIDER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: throwaway-filedb\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[apache_airflow_provider]\nprovider_info = filedb_info:info\n")
    sys.path.append(str(site))
