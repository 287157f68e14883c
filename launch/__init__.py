"""Jobs on a cluster: a run becomes a batch script, which Slurm runs until the run is done.

`job.py` says what a job is and renders its script, `submission.py` prepares and submits it, `slurm.py` talks to Slurm,
`snapshot.py` keeps the code, `attempts.py` is what a run folder knows of its jobs. `attempt.py` is called by the script
itself, before and after the ranks: it decides whether the run is started again.
"""
