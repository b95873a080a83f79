"""Who is registered: hook plugins, runners, managers and storages.

One :class:`Plugins` holds them all, so that a test or an application can have its own;
:func:`default_plugins` is the one that a process uses where none is named.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pluggy

from triggers_core import hookspecs
from triggers_core.engine.extensions import offer_default
from triggers_core.errors import (
    ConfigurationError,
    PluginError,
    StorageNotFound,
)
from triggers_core.forks import ProcessLock
from triggers_core.hookspecs import PROJECT_NAME
from triggers_core.plugins import kinds
from triggers_core.plugins.core_hooks import CoreHooks
from triggers_core.plugins.entry_points import Offer, installed
from triggers_core.plugins.registry import Registration
from triggers_core.rules.config import TaskConfig
from triggers_core.rules.names import runner_advice
from triggers_core.runner import BaseTaskRunner
from triggers_core.storage.base import DEFAULT_ALIAS, Storage

STORAGE_VARIABLE = "TRIGGERS_STORAGE"
"""The environment variable with the URL of the storage whose alias is ``default``."""

TARGETS_VARIABLE = "TRIGGERS_ALLOWED_TARGETS"
"""The environment variable with the patterns of the ``run`` targets that are allowed."""

_SAME_SCHEMES = {"postgres": "postgresql", "sqlite3": "sqlite"}
"""Scheme, as some write it → the one that is registered."""

OBSERVERS = (
    "triggers_fired",
    "triggers_status_changed",
    "triggers_replayed",
    "triggers_skipped",
    "triggers_closed",
    "triggers_settled",
)

NEVER_WRAPPED = (*OBSERVERS, "triggers_runners", "triggers_register_commands")
"""The hooks that are called one implementation at a time."""

_logger = logging.getLogger(__name__)


class Plugins:
    """The plugins in use, thread-safe to read; register before work begins.

    Args:
        load_entry_points: False to know only what is registered in code.
        skip_broken: True to leave out hook plugins that are installed and cannot be used, as the
            command line does. An application may count on what they do, and gets an error.

    Attributes:
        left_out: the hook plugins that were left out, each with its problem.

    Raises:
        PluginError: a hook plugin that is installed cannot be used; the message names its
            distribution.
    """

    def __init__(self, *, load_entry_points: bool = True, skip_broken: bool = False) -> None:
        self.left_out: list[Registration] = []
        self.runners = kinds.runners(load_entry_points=load_entry_points)
        self.managers = kinds.managers(load_entry_points=load_entry_points)
        self.storages = kinds.storages(load_entry_points=load_entry_points)
        self._allowed_targets = _patterns(os.environ.get(TARGETS_VARIABLE, ""))
        self._running: dict[str, BaseTaskRunner] = {}
        self._open: dict[str, Storage] = {}
        self._offered_runners: dict[str, list[str]] = {}
        self._is_observed = False
        self._building = ProcessLock()
        self._pluggy = pluggy.PluginManager(PROJECT_NAME)
        self._pluggy.add_hookspecs(hookspecs)
        self._pluggy.register(CoreHooks(), "triggers-core")
        for offer in installed("triggers.plugins") if load_entry_points else ():
            self._load_plugin(offer, skip_broken)

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks, to call them."""
        return self._pluggy.hook

    def register(self, plugin: object, name: str | None = None) -> str:
        """Register an object or module with hookimpls; return the name that it goes by.

        Raises:
            PluginError: a hookimpl fits no hook, an observer is a wrapper, or a runner offered
                is none; nothing of the plugin stays registered. Or it, or another of that name,
                is registered already, and stays so.
        """
        if self._pluggy.is_registered(plugin):
            raise PluginError(f"plugin {name or plugin!r} is already registered")
        try:
            registered = self._pluggy.register(plugin, name)
            assert registered is not None  # pluggy returns None only for blocked names
            self._pluggy.check_pending()
            self._check_wrappers(plugin)
            self._offer_runners(plugin, registered)
            self._is_observed = any(map(self.has_hook, OBSERVERS))
        except ValueError as error:
            self._forget(plugin)
            raise PluginError(f"plugin {name or plugin!r}: {error}") from error
        except pluggy.PluginValidationError as error:
            self._forget(plugin)
            raise PluginError(
                f"plugin {name or plugin!r}: {error}; triggers_core.hookspecs lists the hooks"
            ) from error
        except BaseException:
            self._forget(plugin)
            raise
        return registered

    def unregister(self, plugin: object) -> None:
        """Take a plugin, and the runners that it offered, out again.

        Raises:
            PluginError: it is not registered.
        """
        if not self._pluggy.is_registered(plugin):
            raise PluginError(f"plugin {plugin!r} is not registered")
        self._forget(plugin)

    def plugin_names(self) -> list[str]:
        """Return the names of the registered plugins, the core's own included, sorted."""
        return sorted(name for name, _ in self._pluggy.list_name_plugin())

    def plugin_hooks(self) -> dict[str, list[str]]:
        """Return plugin name → the hooks that it implements, both sorted."""
        return {
            name: sorted(caller.name for caller in self._pluggy.get_hookcallers(plugin) or [])
            for name, plugin in sorted(self._pluggy.list_name_plugin(), key=lambda item: item[0])
        }

    def validate_directive(self, task_name: str, directive: str, value: Any) -> bool:
        """Return whether a plugin claims the directive; ValueError where it finds it wrong."""
        return bool(
            self.hook.triggers_validate_directive(
                task_name=task_name, directive=directive, value=value
            )
        )

    def check_task(self, task: TaskConfig, runner_name: str | None) -> None:
        """Raise ConfigurationError for a task that a plugin refuses.

        Args:
            runner_name: the runner that it is for; None where a plugin chooses.
        """
        try:
            self.hook.triggers_check_task(task_config=task, runner_name=runner_name)
        except ValueError as error:
            raise ConfigurationError(f"task {task.name!r}: {error}") from error

    def runner(self, name: str, asked_by: str = "") -> BaseTaskRunner:
        """Return the runner of that name, built at the first call and kept.

        Args:
            asked_by: begins the message when it cannot be had ("task 't_pay'").

        Raises:
            RunnerNotFound: none is installed; the message says what is, and what to install.
            PluginError: it is installed, but registered wrongly or cannot be built.
        """
        with self._building.lock:
            if name not in self._running:
                self._running[name] = self._build_runner(name, asked_by)
            return self._running[name]

    def use_runner(self, runner: BaseTaskRunner) -> None:
        """Use this object as the runner of its name, in place of one built without arguments.

        Raises:
            PluginError: it is no runner, or one of that name is in use already.
        """
        with self._building.lock:
            name = getattr(runner, "name", None)
            if name in [*self._running]:
                raise PluginError(f"a task runner {name!r} is in use already")
            self._running[self.runners.add(type(runner))] = runner

    def check_runner(self, name: str, asked_by: str = "") -> None:
        """Raise RunnerNotFound, as :meth:`runner` does, unless the name is offered. Imports
        nothing."""
        if name not in self.runners.names():
            whose = f", asked for by {asked_by}" if asked_by else ""
            advice = runner_advice(name, self.runners.names())
            self.runners.load(name, f"{whose}; {advice}")

    def allow_targets(self, *patterns: str) -> None:
        """Let tasks run these targets, and no others: ``allow_targets("shop.*", "mail.send")``.

        Without it every target is allowed, unless the environment variable
        ``TRIGGERS_ALLOWED_TARGETS`` names patterns, with commas between them. What is not allowed
        is refused when it is configured, and when it would run.

        Args:
            patterns: dotted or Celery names, in which ``*`` and ``?`` stand for any characters.
        """
        self._allowed_targets = (*self._allowed_targets, *patterns)

    def check_target(self, target: str, asked_by: str = "") -> None:
        """Raise ConfigurationError unless the target may be run in this process.

        Args:
            asked_by: begins the message ("task 't_pay'").
        """
        from fnmatch import fnmatchcase  # noqa: PLC0415 - used on demand

        allowed = self._allowed_targets
        if allowed and not any(fnmatchcase(target, pattern) for pattern in allowed):
            raise ConfigurationError(
                f"{asked_by and f'{asked_by}: '}the target {target!r} may not be run here; allowed "
                f"are {', '.join(allowed)}: add it by plugins.allow_targets, or in "
                f"{TARGETS_VARIABLE}"
            )

    def storage(self, alias: str = DEFAULT_ALIAS) -> Storage:
        """Return the storage of that alias: one given to :meth:`add_storage`, or for
        ``default`` the one at the URL in ``TRIGGERS_STORAGE``.

        Raises:
            StorageNotFound: there is none; the message says how to name one.
        """
        with self._building.lock:
            if alias not in self._open:
                url = os.environ.get(STORAGE_VARIABLE)
                if alias != DEFAULT_ALIAS or not url:
                    known = ", ".join(sorted(self._open)) or "none"
                    raise StorageNotFound(
                        f"no storage has the alias {alias!r} (known: {known}); "
                        f"call plugins.add_storage(…) at start-up, or for {DEFAULT_ALIAS!r} "
                        f"set {STORAGE_VARIABLE} to a URL such as sqlite:///triggers.db"
                    )
                self._open[alias] = self.open_storage(url)
            return self._open[alias]

    def add_storage(self, storage: Storage) -> None:
        """Make a storage known by its alias, to the managers and workers of this process.

        Raises:
            PluginError: another storage has the alias.
        """
        with self._building.lock:
            if self._open.setdefault(storage.alias, storage) is not storage:
                raise PluginError(
                    f"the storage alias {storage.alias!r} is taken by "
                    f"{self._open[storage.alias]!r}; give this one another alias"
                )

    def open_storage(self, url: str, *, alias: str = DEFAULT_ALIAS) -> Storage:
        """Return a new storage at a URL, by the class registered for its scheme. ``postgres://``
        and ``postgresql+psycopg://`` are ``postgresql://``.

        Raises:
            StorageNotFound: no storage class is registered for the scheme.
            StorageError: the class does not understand the URL.
        """
        written, colon, rest = url.partition(":")
        scheme, _, _driver = written.partition("+")  # as SQLAlchemy's name one
        scheme = _SAME_SCHEMES.get(scheme, scheme)
        advice = "; pip install triggers-postgres" if scheme == "postgresql" else ""
        return self.storages.load(scheme, advice).from_url(f"{scheme}{colon}{rest}", alias=alias)

    @property
    def is_observed(self) -> bool:
        """Whether anybody implements an observer."""
        return self._is_observed

    def has_hook(self, hook_name: str) -> bool:
        """Return whether anybody implements the hook, the core's own defaults included."""
        return bool(self._caller(hook_name).get_hookimpls())

    def observe(self, observer: str, **arguments: Any) -> None:
        """Call every implementation of an observer, the latest registered first.

        What one raises is logged with the plugin's name, and the next is called.
        """
        for plugin_name, error in self._failures(observer, arguments):
            _logger.error(
                "plugin %r failed in %s; nothing is undone by that",
                plugin_name,
                observer,
                exc_info=error,
            )

    def register_commands(self, cli: Any) -> None:
        """Have each plugin add its commands; one that fails is in :attr:`left_out`."""
        for plugin_name, error in self._failures("triggers_register_commands", {"cli": cli}):
            problem = f"its commands cannot be added: {type(error).__name__}: {error}"
            self._leave_out(plugin_name, f"plugin {plugin_name!r}: {problem}")

    def _failures(
        self, hook_name: str, arguments: dict[str, Any]
    ) -> Iterator[tuple[str, Exception]]:
        """Call every implementation, the latest registered first; yield the plugin's name and the
        error of each that fails."""
        for implementation in reversed(self._caller(hook_name).get_hookimpls()):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:
                yield implementation.plugin_name, error

    def _caller(self, hook_name: str) -> pluggy.HookCaller:
        caller: pluggy.HookCaller = getattr(self._pluggy.hook, hook_name)
        return caller

    def _build_runner(self, name: str, asked_by: str) -> BaseTaskRunner:
        self.check_runner(name, asked_by)
        runner_class = self.runners.load(name)
        try:
            return runner_class()
        except Exception as error:
            raise PluginError(
                f"task runner {name!r} of {self.runners.source(name)} cannot be built: "
                f"{runner_class.__qualname__}() raised {type(error).__name__}: {error}"
            ) from error

    def _load_plugin(self, offer: Offer, skip_broken: bool) -> None:
        try:
            self._register_loaded(offer)
        except PluginError as error:
            if not skip_broken:
                raise
            self._leave_out(offer.name, str(error), offer.distribution, offer.version)

    def _register_loaded(self, offer: Offer) -> None:
        try:
            plugin = offer.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin {offer.name!r}: the entry point {offer.value!r} of the distribution "
                f"{offer.distribution} fails to import: {type(error).__name__}: {error}"
            ) from error
        try:
            self.register(plugin, offer.name)
        except PluginError as error:
            raise PluginError(f"the distribution {offer.distribution}: {error}") from error

    def _leave_out(
        self, name: str, problem: str, distribution: str | None = None, version: str | None = None
    ) -> None:
        self.left_out.append(Registration(name, distribution, version, problem))

    def _implementations(self, hook_name: str, plugin: object) -> list[pluggy.HookImpl]:
        found = self._caller(hook_name).get_hookimpls()
        return [implementation for implementation in found if implementation.plugin is plugin]

    def _check_wrappers(self, plugin: object) -> None:
        for hook_name in NEVER_WRAPPED:
            for implementation in self._implementations(hook_name, plugin):
                if implementation.wrapper or implementation.hookwrapper:
                    raise PluginError(
                        f"plugin {implementation.plugin_name!r}: {hook_name} "
                        f"{'is an observer and ' if hook_name in OBSERVERS else ''}"
                        "cannot be a wrapper; implement it as a plain @hookimpl"
                    )

    def _offer_runners(self, plugin: object, plugin_name: str) -> None:
        source = f"plugin {plugin_name!r}"
        offered = self._offered_runners.setdefault(plugin_name, [])
        for implementation in self._implementations("triggers_runners", plugin):
            try:
                offers = list(cast("Iterable[Any]", implementation.function()))
            except Exception as error:
                raise PluginError(
                    f"{source} failed in triggers_runners: {type(error).__name__}: {error}"
                ) from error
            for runner_class in offers:
                offered.append(self.runners.add(runner_class, source))

    def _forget(self, plugin: object) -> None:
        name = self._pluggy.get_name(plugin)
        if name is None:
            return
        self._pluggy.unregister(plugin)
        self._is_observed = any(map(self.has_hook, OBSERVERS))
        offered = self._offered_runners.pop(name, [])
        by_others = {each for names in self._offered_runners.values() for each in names}
        for runner_name in set(offered) - by_others:
            self.runners.remove(runner_name)
            self._running.pop(runner_name, None)


_defaults: list[Plugins] = []


def default_plugins() -> Plugins:
    """Return this process's plugins, built with all entry points at the first call.

    Raises:
        PluginError: a hook plugin that is installed cannot be used.
    """
    if not _defaults:
        _defaults.append(Plugins())  # of two threads that come here at once, the first one's count
    return _defaults[0]


def use_by_default(plugins: Plugins) -> None:
    """Make these the process's plugins. To be called before anybody asks for them."""
    _defaults[:] = [plugins]


offer_default(default_plugins)


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(pattern.strip() for pattern in text.split(",") if pattern.strip())
