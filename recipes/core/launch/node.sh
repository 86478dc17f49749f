trap : TERM
~{command}
code=$?
[[ $code == 0 || $code == ~{stopped} ]] || { sleep ~{seconds_to_report}; scancel "$SLURM_JOB_ID.$SLURM_STEP_ID"; }
exit $code
