"""An answer of HTTP that is kept in a file: the whole of it, however little of it is kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.actions.http_exchange import asked, result_of
from application.actions.http_messages import Response
from application.actions.http_reading import Body, decoded
from application.actions.http_request import within
from application.actions.project_files import NewFile
from application.engine.action import ActionContext
from domain.limits import Limits


async def saved(config: Mapping[str, Any], seconds: float, context: ActionContext) -> Mapping[str, Any]:
    """The result of the exchange, with the file that holds the body of the last answer, decompressed."""
    with NewFile("save_to", config["save_to"], context, "downloads/report.pdf") as file:

        async def read(response: Response, limits: Limits) -> Body:
            body = Body()
            file.begin()
            async for part in decoded(response, limits, body):
                body.digest.update(part)
                body.kept += part[: max(0, limits.response_kept_bytes - len(body.kept))]
                file.write(part)
            return body

        answer = await within(seconds, asked(config, context, read), context)
        return {**result_of(answer, context), "saved": file.keep()}
