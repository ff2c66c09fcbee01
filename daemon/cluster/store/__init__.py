"""What a voter must never forget, on disk: hard state, log and snapshots, in SQLite (WAL, synchronous=FULL).

`store` is the seam to the event loop and owns the one thread that writes; `reading` and `writing` know the tables,
`database` the file and its formats, `lock` who may use the folder, `reset` how a folder is begun anew.
"""

from daemon.cluster.store.errors import StoreDamagedError as StoreDamagedError
from daemon.cluster.store.errors import StoreError as StoreError
from daemon.cluster.store.errors import StoreFullError as StoreFullError
from daemon.cluster.store.errors import StoreInUseError as StoreInUseError
from daemon.cluster.store.store import Store as Store
