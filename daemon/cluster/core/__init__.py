"""The cluster core: heartbeats, elections, the replicated log and leases, pure and without I/O.

`core.Core` is what the shell and the simulation drive; it stands on `leasing` (heartbeats and grants) and that on
`consensus` (terms, roles and the log).  One noun a file: `membership` (who is heard), `quorum`
(set arithmetic), `log`, `disk` (what is on disk and what waits for it), `admissions` (who takes part), `leases`
(promise, leadership lease, own lease), `elections`, `follower`, `leader` with `replication` and `grants`,
`freshness` (how old what a node knows can be), `proposals`, `suffrage` (who votes), `rosters`, `steward` and
`stewardship` (who belongs to it), `commits`, `compaction` (when a `snapshot` is taken), `sending` and `reception`
(how one travels); `replica` is what they all work on.

The rules that it keeps are numbered as in LEASES.md, with the failure that each prevents.
"""

from daemon.cluster.core.core import Core as Core
from daemon.cluster.core.effects import CoreStatus as CoreStatus
from daemon.cluster.core.effects import HardState as HardState
from daemon.cluster.core.effects import PeerStatus as PeerStatus
from daemon.cluster.core.effects import Persist as Persist
from daemon.cluster.core.effects import Ready as Ready
from daemon.cluster.core.effects import Role as Role
from daemon.cluster.core.effects import Saved as Saved
from daemon.cluster.core.effects import Send as Send
from daemon.cluster.core.proposals import TooMuchProposedError as TooMuchProposedError
