"""The run ledger in Redis: the authoritative state of every run.

Who decides what
    Messages are hints, the ledger decides. A Celery message only names a job or a stage. The worker that receives it
    must claim the work here first. If the work is finished or leased, the worker drops the message. Duplicate messages
    are therefore harmless, and the reconciler replaces lost ones. Celery's result backend only counts a chord.

    Each change of state is one Lua script in lua/, so it happens completely or not at all.
    KEYS and ARGV of each script are listed at its top.

Job states
    queued             Ledger.create, then create.lua makes the run visible        caller: producer
    queued -> running  begin.lua: takes a lease and a new token                    caller: JobRunner.run
    running -> running begin.lua: the lease has expired, another worker claims it  caller: JobRunner.run
    running -> queued  release.lua: only with the claim's token                    callers: JobRunner, GracefulShutdown
                       reap.lua: the lease has expired                             caller: Reconciler
    queued or running -> generated or failed
                       finish.lua: the first trajectory of an attempt wins. A failure needs the current token.
                       A completed trajectory does not: it counts even if its lease expired.  caller: JobRunner
    generated or failed -> queued
                       resubmit.lua: starts the next attempt                       caller: `applejack resubmit`
    queued or running -> cancelled
                       cancel.lua                                                  caller: `applejack cancel`
    cancelled -> queued
                       resume.lua                                                  caller: `applejack resume`
    cancelled -> generated
                       finish.lua: its trajectory completed after the cancellation caller: JobRunner

    The run's control, paused or cancelled, is set by pause.lua and cancel.lua and removed by resume.lua. While it is
    set, begin.lua and begin_stage.lua refuse every claim. A paused run stays active; its expired leases are reaped.
    A cancelled run is not active, and the tokens of what was in flight are invalid. Its jobs in flight have the token
    "cancelled", by which their workers know that nobody wants the result; a lease that expired is no reason to stop.

Stage states (curate, train, evaluate)
    waiting or skipped create.lua; resubmit.lua and, for jobs left out before, resume.lua reset all three stages
                                                                                   caller: producer
    waiting -> ready   finish.lua: curate, after the last job                      caller: JobRunner
                       finish_stage.lua: the next stage, if this one is done       caller: StageRunner
                       wake.lua: either, if the Redis user of the worker before may not write that stage
                                                                                   callers: StageRunner, Reconciler
    ready -> running   begin_stage.lua: takes a lease and a new token              caller: StageRunner
    running -> running begin_stage.lua: the lease has expired                      caller: StageRunner
    running -> ready   release_stage.lua: only with the token                     callers: StageRunner, GracefulShutdown
                       cancel.lua                                                  caller: `applejack cancel`
                       reap.lua: the lease has expired                             caller: Reconciler
    running -> done or failed
                       finish_stage.lua: only with the token                       caller: StageRunner
    done or failed -> ready
                       reopen.lua: the following stages wait again; with a new spec the adapter of before is kept
                                                                                   caller: `applejack resubmit --stage`
    After a failed stage the run is no longer active. The following stages stay waiting.

Three ways to wake a stage
    1. The chord. Up to CHORD_LIMIT jobs form a chord. Its body is the chain curate, train, evaluate: Celery sends each
       message when the task before it has returned. If its stage is not ready yet, the worker drops the message.
    2. The ledger. finish.lua and finish_stage.lua make the next stage ready. The reconciler sends a message for each
       ready stage that has none in the broker in two passes in a row.
    3. A person. `applejack resubmit` queues finished jobs again, with a new chord. With --stage it reopens one stage
       and sends its message; the ledger wakes the stages after it.

Keys of a run, all under applejack:run:ID: (config/topology.run_key)
    run                  hash    spec, fingerprint, total, created_ms, version (of dataset and adapter, from 1),
                                 control, history, bulk (number of changes of many jobs at once),
                                 restoring (set by restore.lua until restored.lua has run)
    judged               string  version and start of the curation that the verdicts are of; earlier: in run
    prompts              hash    job_id -> Prompt
    queued running generated failed cancelled   sets of job ids; a job is in exactly one of them
    kind:K               set     jobs that failed with kind K; kind:truncated: generated jobs that max_tokens cut
    job:J                hash    attempt, deliveries, token, worker, history
    trajectory:J:A       string  the compressed trajectory of attempt A
    changed              zset    job id -> when a worker last changed its state, server milliseconds
    leases               zset    job id or stage:NAME -> when the lease expires, server milliseconds
    stage:S              hash    state, token, worker, result, error, history
    progress:S           list    what a stage reports while it runs
    refused              hash    worker -> when and why its endpoint refused the run's model; "" -> first refusal
    pins, verdicts       hashes  workspace -> Pin; job_id -> Verdict of the current dataset
    files:NAME           hash    the files of the dataset, adapter, report or unseen (questions); adapter@vN, report@vN:
                                 earlier ones
    files:NAME:new:X verdicts:new:X   hashes that replace those when they are whole; see uploads.py
    adapters             hash    N:spec, N:train, N:evaluate -> spec and results of the earlier adapter of version N
    submit, sending      strings locks of a producer: it writes the run; it sends a big run's messages
    lost_calls           hash    teacher -> calls that its model server dropped
    notices              hash    notices that were sent, see notices.py; notices:N: lease of one that is being sent
    rate, by_worker      hashes  finished jobs per ten seconds; per worker and state
"""

from config.ledger.ledger import Created, Ledger, RunView
from config.ledger.verdicts import Judged

__all__ = ["Created", "Judged", "Ledger", "RunView"]
