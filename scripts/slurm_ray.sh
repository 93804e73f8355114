#!/usr/bin/env bash
# Ray on the nodes of one Slurm job, and the pending trainings on it: sbatch scripts/slurm_ray.sh
# Needs .venv on a disk that the nodes share, with Ray in it, and a DVC remote. See docs/cluster.md.
#SBATCH --job-name=mass-synthesis
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
set -euo pipefail
export PATH="$PWD/.venv/bin:$PATH"
nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
head=$(srun --nodes=1 --ntasks=1 -w "${nodes[0]}" hostname --ip-address | awk '{print $1}')
scratch=${SLURM_TMPDIR:-/tmp}/mass-synthesis

start() { # node, arguments of `ray start`
  srun --nodes=1 --ntasks=1 -w "$1" --export=ALL,MASS_SYNTHESIS_FOLDER="$scratch" ray start "${@:2}" --block &
}
start "${nodes[0]}" --head --node-ip-address "$head" --port 6379
sleep 20
for node in "${nodes[@]:1}"; do start "$node" --address "$head:6379"; done
sleep 20
srun --nodes=1 --ntasks=1 --overlap -w "${nodes[0]}" python -m pipeline.cluster run --address "$head:6379" --gpus 1
