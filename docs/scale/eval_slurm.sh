#!/bin/bash
# One kscope eval as a job array. Submit from a folder that all machines see:
#     sbatch eval_slurm.sh kscope eval --model M --mask FILE ...
# PARTS is written down here, not taken from the array: `--array=3,5` sent again for two lost parts must
# still mean parts of 8.
#SBATCH --job-name=kscope-eval
#SBATCH --array=1-8
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=part-%a.log
set -euo pipefail
PARTS=8
exec "$@" --threads "$SLURM_CPUS_PER_TASK" --shard "$SLURM_ARRAY_TASK_ID/$PARTS" \
    --out "parts/$SLURM_ARRAY_TASK_ID"
