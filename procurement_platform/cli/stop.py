"""`procurement stop`: end the embedded database."""


def stop() -> None:
    """End the embedded PostgreSQL of this home, clients or not.

    Reads the home's postgres folder, writes nothing. The server would stop by itself a minute after its last client; the next command
    starts it again.
    """
    from procurement_platform.cli.output import say
    from procurement_platform.database import embedded
    from procurement_platform.settings import settings

    if settings().database_url is not None:
        say("PROCUREMENT_DATABASE_URL names a server of its own: there is none to stop here")
    elif embedded.stop(settings()):
        say(f"the embedded PostgreSQL of {settings().home} is stopped")
    else:
        say(f"the embedded PostgreSQL of {settings().home} was not running")
