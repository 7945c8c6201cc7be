"""Asks a gRPC server what services it has (server reflection, v1 and v1alpha)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from application.actions.grpc_channel import Call, Outcome, Peer
from application.actions.grpc_schema import COMMON_FILES, Schema, parse_file, resolve_service, schema_of
from application.actions.grpc_target import Metadata
from application.engine.action import ActionContext, ActionError

_VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
_ROUNDS = 20
_MOST_FILES = 1_000
_NOT_FOUND = 5


class Reflection:
    """The questions of one step; both versions have the same messages. A call holds several questions."""

    def __init__(self, peer: Peer, metadata: Metadata, seconds: float, context: ActionContext) -> None:
        self._peer = peer
        self._metadata = metadata
        self._seconds = seconds
        self._context = context
        self._version = _VERSIONS[0]

    async def schema(self, service: str) -> Schema:
        """All that is needed to call the service. ActionError `config` when the server does not say, or has none such."""
        (listed,) = await self._ask([{"list_services": "*"}])
        names = [one.name for one in listed.list_services_response.service]
        full = resolve_service(service, [name for name in names if not name.startswith("grpc.reflection.")] or names)
        answers = await self._ask([{"file_containing_symbol": full}])
        files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        for _ in range(_ROUNDS):
            self._learn(files, answers)
            missing = {wanted for file in files.values() for wanted in file.dependency} - files.keys()
            for name in missing & COMMON_FILES.keys():
                files[name] = parse_file(COMMON_FILES[name])
            asked = sorted(missing - COMMON_FILES.keys())
            if not asked:
                return schema_of(files.values())
            answers = await self._ask([{"file_by_filename": name} for name in asked])
        raise ActionError("protocol", f"the files of {full} import one another too deeply")

    def _learn(self, files: dict[str, descriptor_pb2.FileDescriptorProto], answers: Sequence[Any]) -> None:
        for answer in answers:
            if answer.HasField("error_response"):
                error = answer.error_response
                raise ActionError("protocol", f"reflection: {error.error_message[:300] or error.error_code}")
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = parse_file(data)
                files[file.name] = file
        if len(files) > _MOST_FILES:
            raise ActionError("protocol", f"the server describes its services by more than {_MOST_FILES} files")

    async def _ask(self, questions: Sequence[dict[str, str]]) -> list[Any]:
        outcome = await self._called(questions)
        if outcome.code is grpc.StatusCode.UNIMPLEMENTED and self._version == _VERSIONS[0]:
            self._version = _VERSIONS[1]
            outcome = await self._called(questions)
        if outcome.code is grpc.StatusCode.UNIMPLEMENTED:
            hint = "give proto (the text), or proto_file"
            raise ActionError("config", "the server has no reflection, so its services are not known", hint=hint)
        if outcome.code is not grpc.StatusCode.OK:
            message = f"the server does not tell its services: {outcome.code.name} {outcome.details[:200]}"
            raise ActionError("timeout" if outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED else "protocol", message)
        try:
            answers = [reflection_pb2.ServerReflectionResponse.FromString(data) for data in outcome.responses]
        except DecodeError:
            raise ActionError("protocol", "an answer of the server's reflection cannot be read") from None
        if len(answers) != len(questions):
            raise ActionError("protocol", f"reflection gave {len(answers)} answers to {len(questions)} questions")
        return answers

    async def _called(self, questions: Sequence[dict[str, str]]) -> Outcome:
        requests = [reflection_pb2.ServerReflectionRequest(**question).SerializeToString() for question in questions]
        path = f"/{self._version}.ServerReflection/ServerReflectionInfo"
        call = Call(path, True, True, requests, self._metadata, self._seconds, most=len(requests) + 1)
        return await self._peer.call(call, self._context)
