"""What went wrong between an action and Kafka, as an ActionError of its own kind."""

from __future__ import annotations

from aiokafka import errors

from application.actions.http_errors import of_socket
from application.engine.action import ActionError

_AUTH = (
    errors.AuthenticationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.IllegalSaslStateError,
    errors.SaslAuthenticationFailed,
    errors.TopicAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
    errors.UnsupportedSaslMechanismError,
)
_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_LATE = (errors.KafkaTimeoutError, errors.RequestTimedOutError, TimeoutError)


def connecting_failed(error: BaseException, broker: str) -> ActionError:
    """The error of connecting to a broker (host:port) and of signing in there."""
    if isinstance(error, ActionError):
        return error
    if isinstance(error, _AUTH):
        return ActionError("auth", f"{broker} does not let us in: {_line(error)}", hint="check sasl")
    if isinstance(error, _LATE):
        return ActionError("timeout", f"{broker} did not answer in time", hint="does it speak Kafka, and TLS or not as asked?")
    if isinstance(error, OSError):
        return _of_socket(error, broker)
    if isinstance(error, KeyError):  # an answer of SCRAM without what it must hold: the broker says no
        return ActionError("auth", f"{broker} does not let us in", hint="check sasl: mechanism, username and password")
    if isinstance(error, errors.KafkaError | EOFError | AssertionError | ValueError):
        cause = error.__cause__
        if isinstance(cause, OSError):
            return _of_socket(cause, broker)
        return ActionError(
            "connection_error",
            f"{broker} ended the connection before it was ready: {_line(error)}",
            hint="does the port speak Kafka, with TLS (tls: true) or without, and does it ask for sasl?",
        )
    return ActionError("protocol", f"{broker} does not speak Kafka: {_line(error)}")


def request_failed(error: BaseException, what: str, broken: ActionError | None) -> ActionError:
    """The error of a request; `broken` is what became of the last connection, if that failed."""
    if isinstance(error, ActionError):
        return error
    if isinstance(error, _TOO_LARGE):
        return ActionError(
            "config", f"{what}: {_line(error)}", hint="the broker or our own limit (1 MiB) takes no larger message"
        )
    if isinstance(error, _AUTH):
        return ActionError("auth", f"{what}: {_line(error)}", hint="the user of sasl may not do this")
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return ActionError("kafka", f"{what}: the topic does not exist", hint="create it; this broker does not by itself")
    if broken is not None:
        return ActionError(broken.kind, f"{what}: {broken.message}", hint=broken.hint)
    if isinstance(error, _LATE):
        return ActionError("timeout", f"{what}: no answer in time", hint="raise timeout")
    return ActionError("kafka", f"{what}: {_line(error)}")


def _of_socket(error: OSError, broker: str) -> ActionError:
    told = of_socket(error, broker)
    if told.kind != "tls":
        return told
    hint = "tls.ca names another authority; tls.verify: false checks nothing; does the port speak TLS?"
    return ActionError("tls", told.message, hint=hint)


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
