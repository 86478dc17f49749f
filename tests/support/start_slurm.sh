#!/usr/bin/env bash
# tests/support/start_slurm.sh DIR start|stop
#
# A real Slurm (munged, slurmctld, two slurmd), for root; it needs neither an init nor cgroups. Its two nodes are this machine,
# node2 only for the partition `both`. Jobs of the partition `urgent` pre-empt the others. All that it writes lies under DIR and
# its ports are free ones, so that several run side by side.
#   start  starts the four, waits till the nodes are idle, and prints the line that points Slurm's commands here
#   stop   ends its jobs, then the four, and waits till they are gone
# Needs Debian's packages slurmctld, slurmd, slurm-client and munge, and python3. DIR: no spaces, and short (a socket's path has
# at most 107 characters).
set -euo pipefail
[[ $# == 2 && $2 =~ ^(start|stop)$ ]] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(realpath "$1")
export SLURM_CONF=$dir/slurm.conf

# within SECONDS COMMAND...: does the command come true in that time?
within() {
  local end=$((SECONDS + $1))
  until "${@:2}"; do ((SECONDS < end)) || return 1; sleep 0.1; done
}
is_idle() { [[ $(timeout 5 sinfo --noheader --partition=both --format "%T %D" 2>/dev/null) == "idle 2" ]]; }
has_no_jobs() { # and kills the processes of those that it still has: scancel, even with KILL, gives them KillWait
  { timeout 5 scontrol listpids | awk '$1 ~ /^[0-9]+$/ && $1 > 1 {print $1}' | xargs --no-run-if-empty kill -KILL; } 2>/dev/null || true
  [[ -z $(timeout 5 squeue --noheader 2>/dev/null) ]]
}
is_gone() { # is_gone PID NAME: a zombie that nobody reaps is gone, and so is a process whose number another one has now
  local name state
  ! read -r _ name state _ 2>/dev/null <"/proc/$1/stat" || [[ $state == Z || $name != "($2)" ]]
}

stop() {
  if [[ -s $dir/slurmctld.pid ]]; then # jobs outlive the daemons, so they go first
    timeout 10 scancel --quiet --user=root 2>/dev/null || true
    within 40 has_no_jobs || echo "slurm.sh: some jobs are still there" >&2
  fi
  local file name pid
  for file in slurmd-node1 slurmd-node2 slurmctld munged; do
    pid=$(cat "$dir/$file.pid" 2>/dev/null) || continue
    name=${file%-*}
    is_gone "$pid" "$name" || kill "$pid" || true
    within 10 is_gone "$pid" "$name" || kill -KILL "$pid" || true
    within 5 is_gone "$pid" "$name" || { echo "slurm.sh: $name ($pid) does not end" >&2; exit 1; }
    rm -f "$dir/$file.pid"
  done
}

slurmd_of() { unshare --mount sh -c "mount --bind '$dir/hosts' /etc/hosts && exec slurmd -N '$1'"; }

start() {
  local host node ports
  host=$(hostname -s)
  node=$(slurmd -C | sed -n "s/^NodeName=[^ ]*/NodeHostname=$host NodeAddr=127.0.0.1/p")
  read -ra ports < <(python3 -c 'import socket; print(*[s.getsockname()[1] for s in [socket.create_server(("127.0.0.1", 0)) for _ in "abc"]])')
  mkdir -p "$dir/state" "$dir/spool-node1" "$dir/spool-node2"
  { cat /etc/hosts && echo "127.0.0.1 node1 node2"; } >"$dir/hosts" # what the nodes see as /etc/hosts
  # cred_expire is also how long a requeued job waits before it starts again (Slurm's default: 120 seconds); config_overrides:
  # the node is what slurmd -C says now, and memory that varies does not drain it.
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=10
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
ReturnToService=2
MailProg=/bin/true
SlurmdParameters=config_overrides
NodeName=node1 Port=${ports[1]} $node
NodeName=node2 Port=${ports[2]} $node
PartitionName=debug Nodes=node1 Default=YES MaxTime=INFINITE
PartitionName=urgent Nodes=node1 MaxTime=INFINITE PriorityTier=10
PartitionName=both Nodes=ALL MaxTime=INFINITE
END
  (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
  if ! { munged --force --socket="$dir/munge.socket" --key-file="$dir/munge.key" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" && slurmctld && slurmd_of node1 && slurmd_of node2 && within 30 is_idle; } >&2; then
    tail -n 15 "$dir"/*.log >&2 || true
    stop
    exit 1
  fi
  echo "export SLURM_CONF=$SLURM_CONF"
}

"$2"
