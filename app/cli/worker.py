"""What gunicorn's workers are told beside their settings."""

import signal


def post_worker_init(_worker: object) -> None:
    """Ctrl+C reaches every process of the terminal; the workers leave it to the one that leads.

    A worker that got it twice, from the terminal and from the leader, could wait for itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
