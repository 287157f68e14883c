"""Jobs on a cluster: a run becomes a batch script, which Slurm runs until the run is done.

`job.py` says what a job is and renders its script, `submission.py` prepares and submits it, `slurm.py` talks to Slurm,
`snapshot.py` keeps the code, `attempts.py` is what a run folder knows of its jobs. `attempt.py` is called by the script
itself, before and after the ranks: it decides whether the run is started again.

An experiment is a graph of jobs: `graph.py` says what comes after what, `stage.py` makes scripts of stages that are no
trainings, `experiment.py` submits all of them. `preflight.py` looks at disk, memory and time before, `nodecheck.py` and
`nodelinks.py` at the nodes in a job's first seconds.
"""
