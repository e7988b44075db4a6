#!/usr/bin/env bash
# MLflow on the head of a cluster, see docs/mlflow-server.md:
#
#   mlflow.sh sqlite FOLDER_OR_BUCKET …        database: a file on the head's disk
#   mlflow.sh postgresql FOLDER_OR_BUCKET …    database: the head's PostgreSQL, which is installed if it is missing
#
# Starts `vip5 server` in the background with the options that follow, in place of one that runs. Its files are in
# ~/mlflow (or $VIP5_MLFLOW), its log is server.log there. `mlflow.sh stop` makes a last copy of the database and ends it.
set -euo pipefail
umask 077
folder=${VIP5_MLFLOW:-$HOME/mlflow}
mkdir -p "$folder"

stop() {
    local pid
    pid=$(cat "$folder/server.pid" 2> /dev/null) || return 0
    grep -qz server "/proc/$pid/cmdline" 2> /dev/null || return 0 # the number was given to another process
    kill "$pid"
    timeout 120 tail --pid="$pid" -f /dev/null
}

prepare_postgresql() {
    command -v pg_dump > /dev/null || sudo apt-get -o DPkg::Lock::Timeout=600 install -y -qq postgresql
    # The user of this shell owns the database and needs no password, because PostgreSQL asks the kernel who is there.
    local user
    user=$(id -un)
    cd /
    [ -n "$(psql -d postgres -Atc 'select 1' 2> /dev/null)" ] || sudo -u postgres createuser --createdb "$user"
    psql -d mlflow -Atc 'select 1' > /dev/null 2>&1 || createdb mlflow
}

database=${1:?sqlite, postgresql or stop}
stop
[ "$database" != stop ] || exit 0
storage=${2:?a folder or bucket for artifacts and copies of the database}
shift 2
[ "$database" != postgresql ] || (prepare_postgresql)
cd "$folder"
# Where MLflow's clients of this user look for name and password.
if [[ " $* " == *" --auth "* && ! -e ~/.mlflow/credentials ]]; then
    mkdir -p ~/.mlflow
    ln -sf "$folder/credentials" ~/.mlflow/credentials
fi
setsid nohup vip5 server --folder "$folder" --database "$database" --storage "$storage" "$@" \
    < /dev/null >> server.log 2>&1 &
