#!/usr/bin/env bash
# What the README and docs/ tell a newcomer to do, in a fresh clone, on a small profile; `.ci/run` runs it.
#   scripts/first_hour.sh [FOLDER [PROFILE]]     FOLDER: where the clone goes (default build/first-hour); PROFILE: smoke (default) or tiny
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD folder=${1:-build/first-hour} profile=${2:-smoke}
export PATH="$here/.venv/bin:$PATH"
step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

step "clone and run"
rm -rf "$folder" && git clone --quiet . "$folder" && cd "$folder" && rm -f dvc.lock
if [ -d "$here/.cache" ]; then ln -s "$here/.cache" .cache; fi
git config user.name newcomer && git config user.email newcomer@example.org
python -m pipeline.profile "$profile" --write
python -m pipeline.profile paper --check
git commit --quiet --all --message "$profile"
python -m stages.run
git add --all && git commit --quiet --message run
test -s reports/index.html && test -s reports/qc.html

step "an experiment and a look at it"
dvc exp run --name crn -S gen.arch=crn | tee crn.log | grep "Running stage"
if grep -E "Running stage '(train_detector|detect)@(real|traditional)" crn.log; then echo "a detector without GAN images ran again"; exit 1; fi
dvc metrics show
dvc metrics diff | tee diff.log
if [ "$(wc -L < diff.log)" -gt 100 ]; then echo "dvc metrics diff is wider than 100 columns"; exit 1; fi
dvc exp show --only-changed --drop 'Created|minus|share|reports|models|data|pipeline|stages|predictions' --no-pager | tee show.log
if [ "$(wc -L < show.log)" -gt 100 ]; then echo "dvc exp show is wider than 100 columns"; exit 1; fi
dvc plots diff crn > plots.log
python -m stages.compare
test -s reports/comparison/index.html

step "the paper's generators"
SECONDS=0
python -m stages.ablation
test "$(head -1 reports/comparison/table_1.csv | tr ',' '\n' | wc -l)" -ge 5
test "$(tail -n +2 reports/comparison/augmentation_curve.csv | cut -d, -f1 | sort -u | grep -cE 'CRN|Net')" -eq 4
echo "ablation: $SECONDS s"

step "own data through a table"
python - <<'PYTHON'
import csv, pathlib, shutil
raw, mine = pathlib.Path("data/raw"), pathlib.Path("mydata")
lesions = {row["image_id"]: row["mask"] for row in csv.DictReader(open(raw / "lesions.csv"))}
for name in ("images", "masks"):
    (mine / name).mkdir(parents=True)
with open(mine / "cases.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["image", "mask", "patient_id", "laterality", "view", "pathology", "spacing_mm"])
    for row in csv.DictReader(open(raw / "cases.csv")):
        mask = lesions.get(row["image_id"], "")
        for path in filter(None, (row["image"], mask)):
            shutil.copy(raw / path, mine / path)
        table.writerow([row["image"], mask, *(row[key] for key in ("patient_id", "laterality", "view", "pathology", "spacing_mm"))])
PYTHON
points=$(python -c "from pipeline.params import load; print([p for p in load().study.points if not p.startswith('fresh')])")
dvc exp run --name mine -S data.source=table -S data.root=mydata -S synth.hosts=lesion_free -S 'study.baselines=[]' -S "study.points=$points" \
  | grep "Running stage"
if grep -q 'data:image/\(png\|jpeg\)' reports/index.html; then echo "the report shows pixels of own data"; exit 1; fi

step "cleaning up"
git restore params.yaml
python -m stages.clean_stale
python -m stages.clean_stale --remove
step done
