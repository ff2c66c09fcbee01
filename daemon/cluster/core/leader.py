"""One leadership: everything that a leader knows beyond its log, from the election to the end of its term.

A `Leader` is made when an election is won and thrown away when the node steps down; nothing of it survives into
another term.  So an answer, a round or a grant of one term can never be counted in another (LEASES.md, rule 6).
"""

from __future__ import annotations

from daemon.cluster.core import quorum
from daemon.cluster.core.damping import Damping
from daemon.cluster.core.dues import Dues
from daemon.cluster.core.effects import Refused
from daemon.cluster.core.grants import Grants
from daemon.cluster.core.leases import Rounds
from daemon.cluster.core.log import size_of
from daemon.cluster.core.membership import Peer
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.replication import Replication
from daemon.cluster.core.restarts import Restarts
from daemon.cluster.core.sending import Sendings
from daemon.cluster.core.standing import Standing
from daemon.cluster.core.stewardship import Stewardship
from daemon.cluster.messages import TRAVEL_NS_PER_BYTE, Append, AppendAnswer, Grant
from daemon.cluster.records import Admit, Command, LogEntry, Lost, Noop, Request, Restart, Roster
from daemon.cluster.timers import SLACK_MS_MAX


class Leader:
    def __init__(self, replica: Replica, expired: str | None, now_ns: int) -> None:
        """`expired` as for `Grants`: whom rule 18 allows to declare lost at once."""
        self.replica = replica
        self.term = replica.term
        self.elected_ns = now_ns
        self.rounds = Rounds(replica.name, lambda: replica.electorate, replica.timers.leadership_lease_ns)
        tail = replica.admissions.tail
        self.restarts = Restarts(tail, replica.membership.peers, replica.timers, now_ns)
        if expired is not None and self.restarts.running(expired, tail.get(expired)) is not None:
            expired = None  # rule 18 is about those who can hold nothing but a leadership lease
        self.grants = Grants(now_ns, expired, replica.timers)
        self._damping = Damping(replica.timers.hold_down_ms)
        patience_ns = replica.timers.heartbeat_ns // 2
        self.sendings = Sendings(replica.compaction, replica.term, replica.send, patience_ns)
        self.replication = Replication(
            replica.log,
            self._others(),
            self._make_append,
            replica.send,
            patience_ns,
            self.sendings,
        )
        self.stewardship = self._new_stewardship()
        self.next_round_ns = now_ns
        self.quorate = False
        """whether the leadership lease ran when this was last looked at"""
        self._looked_ns = now_ns
        self._overdue_ns: dict[int, int] = {}
        """index → when it should have been committed, of entries that are not"""
        self._travelled_ns = now_ns
        """when the newest entry may be expected to have reached the others, one repetition included"""
        self._refused: set[tuple[str, int]] = set()
        self._dues: Dues | None = None
        """of losses; None: to be made anew"""
        is_first = replica.log.last_index == 0
        self.append(Noop(replica.rosters.founders if is_first else ()), now_ns)
        self.begin_round(now_ns)

    # --- the log

    def append(self, command: Command, now_ns: int) -> LogEntry:
        log = self.replica.log
        stamp_ms = max(self.replica.wall_ms, log.last_stamp_ms)  # the state's only clock never runs backwards
        entry = LogEntry(log.last_index + 1, self.term, stamp_ms, command)
        self.replica.append(entry)
        # a long entry takes the network for a while, and what comes after it waits as long
        travel_ns = 2 * TRAVEL_NS_PER_BYTE * size_of(entry)
        self._travelled_ns = max(self._travelled_ns, now_ns) + travel_ns
        self._overdue_ns[entry.index] = self._travelled_ns + self.replica.timers.commit_bound_ns
        self._dues = None
        if isinstance(command, Roster):
            self.replication.sync(self._others())
        return entry

    def _others(self) -> list[str]:
        """Everybody who is to have the log: learners, too."""
        return [name for name in self.replica.rosters.names if name != self.replica.name]

    def _new_stewardship(self) -> Stewardship:
        return Stewardship(self.replica, self.replication, self.elected_ns)

    def append_request(self, origin: str, incarnation: int, ticket: int, body: bytes, now_ns: int) -> None:
        if (origin, incarnation, ticket) not in self.replica.remembered:
            self.append(Request(origin, incarnation, ticket, body), now_ns)

    def _make_append(self, first: int, count: int) -> Append:
        log = self.replica.log
        return Append(
            term=self.term,
            round=self.rounds.number,
            prev_index=first - 1,
            prev_term=log.term_at(first - 1) or 0,
            entries=log.entries(first, first + count - 1),
            commit=self.replica.commit,
            quorate=self.quorate,
        )

    def committable(self) -> int:
        """Up to where the log may be committed: on a majority's disks, this one included only after its fsync.

        Only an entry of the own term says so; older ones are committed along with it (Raft, 5.4.2).
        """
        if self.replica.commit == self.replica.log.last_index:
            return self.replica.commit
        progress = self.replication.progress
        matches = {
            name: progress[name].match
            for name in self.replica.electorate.voters
            if name in progress and self.replica.suffrage.counts(name)
        }
        matches[self.replica.name] = self.replica.disk.stable_index
        matches |= dict.fromkeys(self.replica.fencing.counted, self.replica.disk.stable_index)
        index = quorum.reached(matches, self.replica.electorate) or 0
        if index > self.replica.commit and self.replica.log.term_at(index) == self.term:
            return index
        return self.replica.commit

    def committed(self) -> None:
        """The commit index has moved: everybody learns it now and not with the next round."""
        for index in [index for index in self._overdue_ns if index <= self.replica.commit]:
            del self._overdue_ns[index]
        self.replication.announce()

    def has_committed_in_own_term(self) -> bool:
        """Rule 11: before that the leader does not know what earlier terms have committed."""
        return self.replica.log.term_at(self.replica.commit) == self.term

    def commit_is_overdue(self, now_ns: int) -> bool:
        """Rule 9: a leader that answers but cannot commit would lead for ever and achieve nothing."""
        return now_ns > next(iter(self._overdue_ns.values()), now_ns)

    # --- rounds

    def begin_round(self, now_ns: int) -> None:
        self.rounds.begin(now_ns)
        for fenced in self.replica.fencing.counted:
            self.rounds.count_from(fenced, now_ns)  # it elects nobody
        self._bind_itself(now_ns)
        self.quorate = self.rounds.lead(now_ns)
        self.replication.announce()
        self.next_round_ns = now_ns + self.replica.timers.heartbeat_ns

    def _bind_itself(self, now_ns: int) -> None:
        """Rule 4: else a leader that steps down could elect another while its own leadership lease still runs."""
        self.replica.promise.renew(now_ns)

    def answered(self, sender: str, answer: AppendAnswer, now_ns: int) -> None:
        if self.replica.suffrage.counts(sender):
            self.rounds.answered(sender, answer.round, now_ns)
        self.replication.answered(sender, answer, now_ns)

    def is_deposed(self, now_ns: int) -> bool:
        """No majority has answered for long (check-quorum): somebody else may lead, and knows more."""
        since = self.rounds.lease_end_ns or self.elected_ns
        return now_ns > since + 2 * self.replica.timers.promise_ns

    # --- leases

    def may_grant(self, now_ns: int) -> bool:
        """Rule 11."""
        return self.rounds.lead(now_ns) and self.has_committed_in_own_term()

    def grant_all(self, now_ns: int) -> None:
        """Grant what was heard and could not be granted before: after an election nobody waits for a heartbeat."""
        for peer in self.replica.membership.peers.values():
            self.grant(peer, now_ns)

    def grant(self, peer: Peer, now_ns: int) -> None:
        if not self.grants.is_new(peer) or not self.may_grant(now_ns):
            return
        if peer.name == self.grants.expired:
            return  # rule 18: sent before this election it is no sign of life, and a grant would outlive the loss
        if not self._is_entitled(peer) or not self.replica.membership.connected(peer, now_ns):
            return
        self.grants.granted(peer, now_ns)
        grant = Grant(self.term, peer.incarnation, peer.sequence, peer.epoch, self.replica.commit)
        self.replica.send(peer.name, grant)

    def _is_entitled(self, peer: Peer) -> bool:
        """Rules 12, 19: admitted in the newest log, tail included, as this process; and its kernel holds that."""
        if peer.name in self.replica.retiring:
            return False  # it has given everything away, and will be lost once its lease is over
        admissions = self.replica.admissions
        return admissions.admitted(admissions.tail, peer.name, peer.incarnation, peer.epoch)

    def extend_own_lease(self, now_ns: int) -> None:
        """Rule 14: the leader's own lease is its leadership lease and ends with it."""
        lease_end_ns = self.rounds.lease_end_ns
        if lease_end_ns is not None and self.may_grant(now_ns) and self.replica.is_admitted():
            self.replica.own_lease.extend(lease_end_ns)

    def as_of_ns(self, now_ns: int) -> int | None:
        """Until when nobody else can have committed anything; None before this leader knows what others have."""
        if self.rounds.lease_end_ns is None or not self.has_committed_in_own_term():
            return None
        return min(now_ns, self.rounds.lease_end_ns)

    # --- losses and admissions

    def declare(self, now_ns: int) -> None:
        """Append what the silence or the return of nodes asks for (rules 16 to 20)."""
        self._looked_ns = now_ns
        if not self.may_grant(now_ns):
            return
        if self._takes_part(self.replica.name):
            self._declare_self(now_ns)
        for peer in self.replica.membership.peers.values():
            if self._takes_part(peer.name):
                self._declare(peer, now_ns)
        if (roster := self.stewardship.next_change(now_ns)) is not None:
            self.append(roster, now_ns)

    def _takes_part(self, name: str) -> bool:
        """Whether it may hold anything: a witness does not, and nobody who is on no roster."""
        member = self.replica.rosters.member(name)
        return member is not None and not member.witness

    def _declare_self(self, now_ns: int) -> None:
        replica = self.replica
        standing = replica.admissions.tail.get(replica.name)
        if standing is not None and standing.admitted and standing.incarnation == replica.incarnation:
            return
        self._admit_or_lose(replica.name, replica.incarnation, replica.kernel_boot_id, True, standing, now_ns)

    def _slack_of(self, name: str) -> int:
        membership = self.replica.membership
        asked_ms = membership.slack_ms if name == self.replica.name else membership.peers[name].slack_ms
        return min(max(0, asked_ms), SLACK_MS_MAX)

    def _store_of(self, name: str) -> str:
        if name == self.replica.name:
            return self.replica.suffrage.store_id
        return self.replica.membership.peers[name].store_id

    def _declare(self, peer: Peer, now_ns: int) -> None:
        standing = self.replica.admissions.tail.get(peer.name)
        present = peer.name not in self.replica.retiring and self._is_ready_to_join(peer, now_ns)
        if standing is not None and standing.admitted and standing.incarnation == peer.incarnation:
            if self._is_loss_due(peer.name, now_ns):
                self._lose(peer.name, now_ns)
            return
        if standing is not None and present and peer.incarnation < standing.incarnation:
            self._refuse_older_incarnation(peer, standing)
            present = False
        self._admit_or_lose(peer.name, peer.incarnation, peer.kernel_boot_id, present, standing, now_ns)

    def _admit_or_lose(
        self, name: str, incarnation: int, boot_id: str, present: bool, standing: Standing | None, now_ns: int
    ) -> None:
        """A process that the log does not know: admit it as soon as no other lease of its name can be running.

        Rule 20: a new process proves that the old one is dead, not that its kernel rules are; only the same kernel
        boot id proves that what the old one left is under the new one's control.
        """
        admissions = self.replica.admissions
        if standing is not None and standing.admitted:
            if present and self._inherits(boot_id, standing):
                self._admit(name, incarnation, boot_id, now_ns)
            elif self._is_loss_due(name, now_ns):
                self._lose(name, now_ns)
        elif present:
            committed = admissions.committed.get(name)
            if standing is None or (committed is not None and committed.epoch == standing.epoch):
                self._admit(name, incarnation, boot_id, now_ns)

    def _inherits(self, boot_id: str, standing: Standing) -> bool:
        return boot_id == standing.kernel_boot_id

    def _admit(self, name: str, incarnation: int, boot_id: str, now_ns: int) -> None:
        if not self._is_held_down(name, now_ns):
            self.append(Admit(name, incarnation, boot_id, self._store_of(name), self._slack_of(name)), now_ns)
            self.grants.count_from(name, now_ns)

    def _is_held_down(self, name: str, now_ns: int) -> bool:
        """Whether it comes and goes so much that it has to wait: only while others serve, and nobody who serves."""
        replica = self.replica
        tail = replica.admissions.tail
        standing = tail.get(name)
        if standing is None or standing.admitted or not any(other.admitted for other in tail.values()):
            return False
        stamp_ms = max(replica.wall_ms, replica.log.last_stamp_ms)
        held = self._damping.held(name, standing.flaps, stamp_ms, now_ns)
        if held is not None and held.is_news:
            replica.report(held.told)
        return held is not None

    def _lose(self, name: str, now_ns: int) -> None:
        self.append(Lost(name), now_ns)

    def ask_restart(self, name: str, incarnation: int, epoch: int, duration_ms: int, now_ns: int) -> None:
        """`name`, whose kernel holds `epoch`, wants to start its daemon again; asking twice appends it once."""
        admissions = self.replica.admissions
        if not 0 < duration_ms <= self.replica.timers.restart_ms:
            reason = f"{duration_ms} ms, where restart_ms allows {self.replica.timers.restart_ms}"
            self.replica.report(Refused("restart lease", name, reason))
        elif (
            self.may_grant(now_ns)
            and admissions.admitted(admissions.tail, name, incarnation, epoch)
            and not admissions.tail[name].restarts
        ):
            self.append(Restart(name, incarnation, duration_ms), now_ns)
            self.restarts.appended(name, now_ns)

    def heard(self, peer: Peer, now_ns: int) -> None:
        """A new heartbeat of a peer that has heard us."""
        self.grants.heard(peer.name)
        if self.restarts.heard(peer, self.replica.admissions.tail.get(peer.name)):
            self.grants.count_from(peer.name, now_ns)
            self._dues = None

    def _loss_due_ns(self, name: str) -> int:
        """When neither a lease nor a restart lease of it can be running any more."""
        standing = self.replica.admissions.tail.get(name)
        due_ns = self.grants.loss_due_ns(name)
        if name != self.grants.expired:
            due_ns += self._slack_ns(name)
        return max(due_ns, self.restarts.over_ns(name, standing))

    def _slack_ns(self, name: str) -> int:
        """By the log, and not by what the node says today: its kernel may run under a former process's lease."""
        standing = self.replica.admissions.tail.get(name)
        return self.replica.timers.slack_over_after_ns(standing.slack_ms if standing is not None else 0)

    def _is_loss_due(self, name: str, now_ns: int) -> bool:
        """Whether no lease can be running any more; a node that was itself late hears its queue out first."""
        peer = self.replica.membership.peers.get(name)
        if name == self.grants.expired and peer is not None and self.replica.membership.live(peer, now_ns):
            return False
        return now_ns > self._loss_due_ns(name) and now_ns >= self.replica.doubt_until_ns

    def _is_ready_to_join(self, peer: Peer, now_ns: int) -> bool:
        return self.stewardship.has_caught_up(peer.name) and self.replica.membership.connected(peer, now_ns)

    def _refuse_older_incarnation(self, peer: Peer, standing: Standing) -> None:
        key = (peer.name, peer.incarnation)
        if key not in self._refused:
            self._refused = {key}
            reason = (
                f"it says that it is process {peer.incarnation}, but process {standing.incarnation} of that name"
                f" was admitted before; its store was replaced or two hosts bear one name"
            )
            self.replica.report(Refused("admission", peer.name, reason))

    def deadline_ns(self) -> int:
        """When `Core.tick` has something to do for this leadership."""
        if self._dues is None:
            tail = self.replica.admissions.tail
            held = (name for name, standing in tail.items() if self._holds(name, standing))
            self._dues = Dues(held, lambda name: self._loss_due_ns(name) + 1)
        silent_ns = self._expired_silent_ns()
        wanted = (
            self._dues.first_after(self._looked_ns),
            silent_ns if silent_ns > self._looked_ns else None,
            self.sendings.deadline_ns(),
        )
        return min([self.next_round_ns, *(due_ns for due_ns in wanted if due_ns is not None)])

    def _expired_silent_ns(self) -> int:
        """When the former leader that rule 18 is about counts as unheard; 0 where there is none."""
        if self.grants.expired is None:
            return 0
        peer = self.replica.membership.peers.get(self.grants.expired)
        heard_ns = None if peer is None else peer.heard_ns
        return 0 if heard_ns is None else heard_ns + self.replica.timers.silent_after_ns + 1

    def _holds(self, name: str, standing: Standing) -> bool:
        """Whether a lease of it may run that is not this very process's."""
        own = name == self.replica.name and standing.incarnation == self.replica.incarnation
        return standing.admitted and not own and self._takes_part(name)
