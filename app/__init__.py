"""Rolling Window: the portal that lets partners in for a few hours. Wiring only."""

from dataclasses import replace

from flask import Flask

from app import api, browser_agent, cli, portal
from app.accounts.oidc_provider import Provider
from app.accounts.passwords import hashing_places
from app.audit.journal import journal_beside, keep_journal
from app.config import ROOT, Config, load_config
from app.core.private_files import secret_key
from app.extensions import csrf, db, htmx, login_manager
from app.models.engine import engine_options, set_up_engine
from app.portal import login
from app.portal.gate import check_access
from app.settings.sources import environment
from app.web import context, errors, health, macros, request_log
from app.web.application import Portal
from app.web.assets import blueprint as assets
from app.web.compression import compress
from app.web.headers import add_headers
from app.web.ids import IdConverter
from app.web.page_sessions import PageSessions
from app.web.proxies import believe_proxies, check_host
from app.web.transaction import reset_transaction

FORM_BYTES = 2 * 1024 * 1024


def create_app(config: Config | None = None) -> Flask:
    """The portal, configured by `config` or else by the environment and `.env`.

    Raises ConfigError for a wrong setting. Touches no database.
    """
    config = config or load_config(environment())
    config = replace(config, secret_key=config.secret_key or secret_key(config.instance))
    app = Portal(__name__, static_folder=None, template_folder=str(ROOT / "templates"))
    app.extensions["config"] = config
    app.config.update(
        SECRET_KEY=config.secret_key,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(config.threads),
        MAX_CONTENT_LENGTH=FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=FORM_BYTES,
        SESSION_COOKIE_NAME="rolling_window",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=config.https,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,  # web/same_origin.py looks at more than the Referer
    )
    hashing_places.allow(config.hashes_at_once)
    app.extensions["identity_provider"] = Provider.of(config)
    _bind_extensions(app, config)
    _set_up_requests(app, config)
    context.init_app(app)
    macros.init_app(app)
    faces = (*portal.BLUEPRINTS, *browser_agent.BLUEPRINTS, *api.BLUEPRINTS)
    for blueprint in (assets, health.blueprint, *faces):
        app.register_blueprint(blueprint)
    cli.init_app(app)
    return app


def _bind_extensions(app: Flask, config: Config) -> None:
    db.init_app(app)
    login_manager.init_app(app)
    login_manager.session_protection = None
    csrf.init_app(app)
    htmx.init_app(app)
    with app.app_context():
        set_up_engine(
            db.engine,
            config.database_file,
            wait_seconds=config.database_wait_seconds,
            long_waits=max(1, config.threads // 2),
        )
        keep_journal(db.engine, journal_beside(config.checkpoints))


def _set_up_requests(app: Flask, config: Config) -> None:
    if config.trusted_proxies:
        app.wsgi_app = believe_proxies(  # type: ignore[method-assign]
            app.wsgi_app, config.trusted_proxies
        )
    app.url_map.converters["id"] = IdConverter
    app.session_interface = PageSessions()
    request_log.init_app(app)
    app.before_request(check_host)
    app.before_request(check_access)
    app.after_request(compress)
    app.after_request(add_headers)
    app.after_request(login.note_activity)
    app.teardown_request(reset_transaction)
    errors.init_app(app)
