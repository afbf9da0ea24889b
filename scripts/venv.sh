#!/usr/bin/env bash
# Makes or brings up to date a virtual environment: venv.sh PYTHON FOLDER ARGUMENTS-OF-PIP-INSTALL...
# pip's own configuration (index, certificates) is handed on to uv, which installs much faster than pip.
set -euo pipefail

python=$1 folder=$2
shift 2

"$python" - <<'CHECK'
import sys
if sys.version_info < (3, 11):
    sys.exit(f"stepbridge needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11 ...")
CHECK

[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check)

# `pip config get` does not see every file that `pip config list` does. The environment stands last and wins.
settings=$("${pip[@]}" config list 2>/dev/null || true)
configured() { sed -nE "s/^(global|install|:env:)\.$1='(.*)'\$/\2/p" <<<"$settings" | tail -n 1 | sed 's/\\n/ /g'; }

if ! "$folder/bin/python" -m uv --version >/dev/null 2>&1; then
    "${pip[@]}" install -qq uv || echo "uv cannot be installed: going on with pip, which is slower" >&2
fi
if "$folder/bin/python" -m uv --version >/dev/null 2>&1; then
    index=$(configured index-url) more=$(configured extra-index-url) links=$(configured find-links) cert=$(configured cert)
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    [ -z "$more" ] || export UV_INDEX="${UV_INDEX:-$more}"
    [ -z "$links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo "$links" | tr ' ' ',')}"
    [ -z "$cert" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}"
    export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}" UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
    VIRTUAL_ENV=$(cd "$folder" && pwd) "$folder/bin/python" -m uv pip install --quiet "$@"
else
    "${pip[@]}" install --quiet --upgrade "pip>=25.1"
    "${pip[@]}" install --quiet "$@"
fi
