#!/usr/bin/env bash
# Runs tests/operators on several Airflow versions, each in its own environment: matrix.sh PYTHON FOLDER [VERSION...]
# A version is a file requirements/airflow-VERSION.txt; PYTEST_ARGS go to pytest. Ends with a table, and 1 if any failed.
set -uo pipefail

python=$1 folder=$2
shift 2
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- $(ls requirements/airflow-*.txt | sed -E 's/.*airflow-(.*)\.txt/\1/' | sort -V)
mkdir -p "$folder"

table="" failed=0
for version in "$@"; do
    lock=requirements/airflow-$version.txt home=$folder/$version log=$folder/$version.log
    if [ ! -f "$lock" ]; then
        echo "there is no $lock" >&2
        exit 2
    fi
    echo "== Airflow $version"
    if ! { [ -f "$home/.stamp" ] && [ ! "$lock" -nt "$home/.stamp" ]; }; then
        rm -rf "$home"
        if ! bash scripts/venv.sh "$python" "$home" -r "$lock"; then
            table+="$version|-|-|not installed"$'\n'
            failed=1
            continue
        fi
        touch "$home/.stamp"
    fi
    # the checkout is not installed, so that one set of files serves every version at once
    PYTHONPATH=$PWD/bridge:$PWD/operators:$PWD/codemods "$home/bin/python" -m pytest -n 2 --dist loadgroup -m "not slow" \
        --color=no ${PYTEST_ARGS:-} tests/operators 2>&1 | tee "$log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || failed=1
    of() { sed -nE "s/^$1==([^ ;]+).*/\1/p" "$lock"; }
    table+="$version|$(of apache-airflow)|$(of apache-airflow-providers-cncf-kubernetes)|$(tail -n 1 "$log" | tr -d '=' | xargs)"$'\n'
done

echo
printf '%-8s %-9s %-9s %s\n' matrix airflow provider result
while IFS='|' read -r name airflow provider result; do
    [ -z "$name" ] || printf '%-8s %-9s %-9s %s\n' "$name" "$airflow" "$provider" "$result"
done <<<"$table"
exit "$failed"
