#!/usr/bin/env bash
# A curve on a Ray cluster of two nodes with separate working copies, one worker killed in the middle of a training, against one
# `dvc repro`: every prediction and report must be the same, byte for byte.  scripts/two_nodes.sh [FOLDER [PROFILE]]
# With --speed: the trainings of the curve, made longer, on one node and then on two of one core each, and the ratio of the times
# (on a machine that does nothing else).                                      scripts/two_nodes.sh --speed [FOLDER [PROFILE]]
set -euo pipefail
cd "$(dirname "$0")/.."
speed= profile=tiny
if [ "${1:-}" = --speed ]; then speed=1 profile=smoke; shift; fi
here=$PWD folder=$(realpath -m "${1:-build/two-nodes}") profile=${2:-$profile} ray=2.60.0
rm -rf "$folder" && mkdir -p "$folder"
"$here/.venv/bin/python" -m venv "$folder/venv"  # Ray is no dependency: it goes beside the packages of .venv
echo "$("$here/.venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')" > "$folder/venv/lib/$(ls "$folder/venv/lib")/site-packages/main.pth"
"$folder/venv/bin/pip" install --quiet "ray==$ray" || { echo "ray $ray cannot be installed here: the run on two nodes is left out"; exit 0; }
export PATH="$folder/venv/bin:$PATH" RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0 # else Ray gives way to all other work
trap 'ray stop --force > /dev/null 2>&1' EXIT

git clone --quiet . "$folder/head" && cd "$folder/head"
if [ -d "$here/.cache" ]; then cp -r "$here/.cache" .; fi
git config user.name two && git config user.email two@example.org
python -m pipeline.profile "$profile" --write
if [ "$speed" ]; then # trainings of half a minute or more
  python -c 'from pathlib import Path; from pipeline.profile import write
write({"runtime": {"threads": 1}, "detector": {"iterations": 600}}, Path("params.yaml"))'
fi
git rm --quiet --cached dvc.lock && rm dvc.lock && git commit --quiet --all --message "$profile"
git clone --quiet . "$folder/serial" && if [ -d .cache ]; then cp -r .cache "$folder/serial"; fi
python -m dvc remote add --quiet --local -d store "$folder/store"

local=127.0.0.1 port=6399
first() { MASS_SYNTHESIS_FOLDER="$1/one" ray start --head --node-ip-address $local --port $port --num-cpus 1 --include-dashboard=false > "$1/one.log" 2>&1; }
second() { MASS_SYNTHESIS_FOLDER="$1/two" ray start --address $local:$port --node-ip-address $local --num-cpus 1 > "$1/two.log" 2>&1; }
cells() { python -m pipeline.cluster run --address $local:$port --repository "$PWD"; }

if [ "$speed" ]; then
  python -m dvc repro --quiet $(python -m dvc stage list --name-only | grep ^trainset) # what the trainings need is there before
  for nodes in 1 2; do
    cp -r "$folder/head" "$folder/$nodes" && cd "$folder/$nodes" && python -m dvc remote add --quiet --force --local -d store "$folder/$nodes/store"
    first "$folder/$nodes"
    if [ $nodes = 2 ]; then second "$folder/$nodes"; fi
    SECONDS=0 && cells 2>&1 | tee "$folder/$nodes.log"
    ray stop --force > /dev/null 2>&1
    took[nodes]=$(sed -nE 's/.* cells took ([0-9]+) s$/\1/p' "$folder/$nodes.log")
    echo "$nodes node(s): trainings ${took[nodes]} s, with what comes before and after them $SECONDS s"
  done
  echo "two nodes train $(awk "BEGIN {printf \"%.2f\", ${took[1]} / ${took[2]}}") times as fast as one"
  exit 0
fi

first "$folder" && second "$folder"
kill_one() { # the worker whose working copy trains the detector of the point `real`
  for _ in $(seq 1200); do
    sleep 0.5
    for pid in $(pgrep -f "stages.train_detector real 0"); do
      copy=$(readlink "/proc/$pid/cwd" || true)
      if [[ $copy == "$folder"/* ]]; then
        sleep 2
        worker=$pid
        while [ "$worker" -gt 1 ] && ! grep -q "^ray::" "/proc/$worker/cmdline"; do worker=$(awk '{print $4}' "/proc/$worker/stat"); done
        if [ "$worker" -gt 1 ] && kill -9 "$worker"; then touch "$folder/killed"; return; fi
      fi
    done
  done
}
kill_one & killer=$!
SECONDS=0
cells
echo "two nodes, a worker killed: $SECONDS s"
kill $killer 2> /dev/null || true
test -e "$folder/killed" || { echo "no worker was killed: the trainings are too short"; exit 1; }

cd "$folder/serial" && SECONDS=0 && python -m dvc repro --quiet && echo "one dvc repro: $SECONDS s"
diff -r predictions "$folder/head/predictions" && diff -r reports "$folder/head/reports"
echo "all $(find predictions reports -type f | wc -l) predictions and reports are the same"
