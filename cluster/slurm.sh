#!/usr/bin/env bash
# One study on the nodes of a Slurm job; docs/cluster-slurm.md explains it.
#
#   sbatch --nodes=3 cluster/slurm.sh /shared/runs encoder-ablation --dataset … --gpus-per-worker 0.5 --seeds 3
#
# The first argument is the home, a folder that all nodes see; the others are those of `vip5 run`. VIP5_VENV is the
# environment in which the project is installed (default: .venv of the folder that sbatch is called in).
#SBATCH --job-name=vip5
#SBATCH --output=vip5-%j.log
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@180
set -euo pipefail
home=${1:?a folder for --home that all nodes see} study=${2:?the name of a study, see vip5 run --list}
shift 2
. "${VIP5_VENV:-.venv}/bin/activate"

# Whoever knows the token may use this Ray. Nodes may be shared with jobs of other users, who have a Ray of their own: no
# fixed port, and no fixed folder. Compute nodes often have no internet: weights are taken from folders.
umask 077
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN
unset OMP_NUM_THREADS
local_folder=/tmp/vip5-$SLURM_JOB_ID
ray_folder=$local_folder/ray # on every node
export RAY_TMPDIR=$ray_folder

free_port='import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
cpus=${SLURM_CPUS_PER_TASK:-1} gpus=${SLURM_GPUS_ON_NODE:-0}
if [ "$gpus" = 0 ]; then # training on CPUs is faster if workers keep the memory that they free
    GLIBC_TUNABLES=$(python -c 'from vip5platform.environment import KEEP_FREED_MEMORY as it; print(it)')
    export GLIBC_TUNABLES
fi
node_options="--num-cpus=$cpus --num-gpus=$gpus --min-worker-port=0 --max-worker-port=0 --block"
head_ip=${VIP5_HEAD_IP:-$(hostname -I | cut -d' ' -f1)}
address=$head_ip:$(python -c "$free_port")
mlflow_port=$(python -c "$free_port")

started=()
finish() {
    trap - EXIT TERM
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2> /dev/null || true
    # For MLflow's last copy, and Ray's processes; a Ray that has lost its head does not listen.
    for ((left = 60; left > 0; left--)); do
        [ -n "$(jobs -pr)" ] || break
        sleep 1
    done
    jobs -pr | xargs -r kill -KILL || true
    rm -rf "$local_folder"
}
trap finish EXIT
# Bash calls this when the command under way has ended.
trap 'echo "the time is up: submit the same command again to continue"; exit 143' TERM
mkdir -p "$ray_folder"

# The head is the node on which this script runs, the first of the job.
# shellcheck disable=SC2086
ray start --head --node-ip-address="$head_ip" --port="${address##*:}" --include-dashboard=false \
    --ray-client-server-port="$(python -c "$free_port")" --temp-dir="$ray_folder" \
    --dashboard-agent-listen-port="$(python -c "$free_port")" $node_options > "$local_folder/head.log" 2>&1 &
started+=($!)
# MLflow's database is on this node's disk; copies of it and artifacts are in the home, one folder for each study.
vip5 server --folder "$local_folder/mlflow" --storage "$home/mlflow-$study" --port "$mlflow_port" \
    > "$local_folder/mlflow.log" 2>&1 &
started+=($!)

wait_for() { # what, seconds, command …
    local what=$1 deadline=$((SECONDS + $2)) pid
    shift 2
    until timeout 60 "$@" > /dev/null 2>&1; do
        for pid in "${started[@]}"; do kill -0 "$pid" 2> /dev/null || deadline=0; done # it has failed
        if ((SECONDS > deadline)); then
            tail -n 20 "$local_folder"/*.log >&2
            echo "error: $what did not start" >&2
            exit 1
        fi
        sleep 2
    done
}
wait_for "Ray's head" 120 ray health-check --address "$address"
nodes=${SLURM_JOB_NUM_NODES:-1}
if ((nodes > 1)); then
    srun --nodes=$((nodes - 1)) --ntasks=$((nodes - 1)) --exclude="$SLURMD_NODENAME" bash -c "
        trap 'kill \$!; wait; rm -rf $ray_folder; rmdir $local_folder' TERM
        ray start --address=$address --dashboard-agent-listen-port=\$(python -c '$free_port') $node_options & wait
        " > "$local_folder/workers.log" 2>&1 &
    started+=($!)
fi
wait_for "MLflow" 180 python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:$mlflow_port/health')"
# A study counts what is there when it begins.
wait_for "Ray on all $nodes nodes" 300 python -c "
import ray
ray.init(address='$address', log_to_driver=False, logging_level='ERROR')
raise SystemExit(sum(node['Alive'] for node in ray.nodes()) < $nodes)"

vip5 run "$study" --home "$home" --address "$address" --tracking-uri "http://127.0.0.1:$mlflow_port" "$@" &
driver=$!
started+=("$driver")
wait "$driver"
