"""Limits: every size, depth and count that TestMesh enforces, in one place. Sizes in bytes, times in seconds."""

from __future__ import annotations

from collections.abc import Mapping

from domain.values import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Limits:
    """The defaults; an operator's settings may replace them. Sources: design of the project, OWASP ASVS 5.0."""

    document_bytes: int = 256 * KIB
    document_depth: int = 50
    document_nodes: int = 20_000
    string_bytes: int = 64 * KIB
    steps: int = 500
    loop_iterations: int = 10_000
    recorded_iterations: int = 1_000
    parallel: int = 50
    flow_depth: int = 10
    run_seconds: float = 3600.0
    push_bytes: int = 4 * MIB
    push_documents: int = 200
    bundle_bytes: int = 4 * MIB
    bundle_files: int = 200
    bundle_file_bytes: int = MIB
    expression_bytes: int = 4 * KIB
    expression_nodes: int = 500
    expression_depth: int = 32
    comprehension_depth: int = 2
    expression_steps: int = 100_000
    value_bytes: int = MIB
    request_body_bytes: int = MIB
    json_depth: int = 64
    response_kept_bytes: int = MIB
    response_read_bytes: int = 64 * MIB
    decompression_ratio: int = 200
    response_header_bytes: int = 64 * KIB
    event_bytes: int = 64 * KIB
    events_per_execution: int = 5_000
    excerpt_bytes: int = 4 * KIB
    page: int = 200
    secret_min_chars: int = 4
    url_bytes: int = 64 * KIB
    rows: int = 10_000
    data_rows: int = 100_000
    data_bytes: int = 16 * MIB
    import_bytes: int = 64 * MIB
    import_yaml_bytes: int = 8 * MIB
    import_nodes: int = 1_000_000
    import_depth: int = 100
    import_files: int = 1_000
    written_bytes: int = 16 * MIB
    sqlite_files: int = 10
    sqlite_file_bytes: int = 16 * MIB
    mock_servers: int = 10
    mock_endpoints: int = 200
    mock_connections: int = 200
    mock_requests: int = 1_000
    mock_recorded_bytes: int = 8 * MIB
    websockets: int = 50
    stream_messages: int = 1_000
    stream_message_bytes: int = MIB
    stream_bytes: int = 8 * MIB
    schedules: int = 1_000
    schedule_seconds: float = 60.0
    schedule_queue: int = 10
    schedule_catch_up: int = 100
    suite_cases: int = 5_000
    suite_parallel: int = 200
    plugin_memory_bytes: int = 1024 * MIB
    plugin_cpu_seconds: float = 600.0
    saved_run_bytes: int = 256 * MIB
    """A saved run, as a file; everything in it, once unpacked, may have four times that."""
    saved_run_source_bytes: int = 256 * MIB
    saved_run_meta_bytes: int = 32 * MIB
    saved_run_events: int = 2_000_000
    saved_run_sources: int = 10_000


LIMITS = Limits()
"""Those of this process. They are shared by all who read them, and replaced only by `replace_limits`."""


def replace_limits(values: Mapping[str, float]) -> None:
    """Give limits of this process other values; to be called once, at its start, before anything is read."""
    for name, value in values.items():
        object.__setattr__(LIMITS, name, value)


MEANINGS: Mapping[str, str] = {
    "document_bytes": "A flow document, a file of variables.",
    "document_depth": "Nesting of a document.",
    "document_nodes": "Values in a document, those that aliases repeat included.",
    "string_bytes": "A single text in a document, and a text with templates.",
    "steps": "Steps of a flow, nested ones included.",
    "loop_iterations": "Iterations of a loop.",
    "recorded_iterations": "Iterations of a loop that are recorded step by step; of the rest only failures are.",
    "parallel": "Branches or items of one step at the same time.",
    "flow_depth": "Flows that call flows.",
    "run_seconds": "How long an execution may take when its flow does not say.",
    "push_bytes": "All documents of one push, and the files that they name.",
    "push_documents": "Documents of one push.",
    "bundle_bytes": "All files that go with a flow to workers.",
    "bundle_files": "How many of them there may be.",
    "bundle_file_bytes": "One of them.",
    "expression_bytes": "The text of an expression.",
    "expression_nodes": "Parts of an expression.",
    "expression_depth": "Nesting of an expression.",
    "comprehension_depth": "Predicates inside predicates: `filter` inside `map`.",
    "expression_steps": "Work of one evaluation.",
    "value_bytes": "A value that an expression makes.",
    "request_body_bytes": "A request to the server, a message to Kafka, the text of a `.proto`.",
    "json_depth": "Nesting of JSON in requests to the server, in answers and messages: deeper JSON stays text or is refused.",
    "response_kept_bytes": "What is kept of an answer's body.",
    "response_read_bytes": "What is read of an answer.",
    "decompression_ratio": "How much larger than on the wire a body may become.",
    "response_header_bytes": "Headers of an answer.",
    "event_bytes": "What an event holds itself; larger parts are stored beside it.",
    "events_per_execution": "Events of one execution.",
    "excerpt_bytes": "What is shown of a body or value.",
    "page": "Items on a page of lists.",
    "secret_min_chars": "The shortest secret that can be masked.",
    "url_bytes": "A URL.",
    "rows": "Rows that a query keeps, messages of one step.",
    "data_rows": "Rows of data of a flow.",
    "data_bytes": "A file of rows.",
    "import_bytes": "A file to import.",
    "import_yaml_bytes": "The same, when it is YAML.",
    "import_nodes": "Values in a file to import.",
    "import_depth": "Nesting of a file to import.",
    "import_files": "Flows made by one import.",
    "written_bytes": "What the steps of a flow on a worker write into files.",
    "sqlite_files": "SQLite databases that a flow on a worker may open.",
    "sqlite_file_bytes": "One of them, when it is a file.",
    "mock_servers": "Mock servers of an execution at the same time.",
    "mock_endpoints": "Endpoints of a mock server.",
    "mock_connections": "Connections to a mock server at the same time.",
    "mock_requests": "Requests that a mock server keeps; more are counted.",
    "mock_recorded_bytes": "What a mock server keeps of requests altogether.",
    "websockets": "Open WebSocket connections of an execution.",
    "stream_messages": "Messages of a WebSocket or events of a stream that are kept.",
    "stream_message_bytes": "One such message.",
    "stream_bytes": "All such messages of one step together.",
    "schedules": "Schedules of a workspace.",
    "schedule_seconds": "Time between two ticks of a schedule, at least.",
    "schedule_queue": "Ticks of a schedule that wait for the execution before them.",
    "schedule_catch_up": "Missed ticks that `run_all` makes up; of more, the newest.",
    "suite_cases": "Cases of a suite run: flows, times rows, times cells of the matrix.",
    "suite_parallel": "Cases of a suite run at the same time.",
    "plugin_memory_bytes": "Memory of the process in which, on workers, the plugins of an execution run.",
    "plugin_cpu_seconds": "Processor time of that process.",
    "saved_run_bytes": "A saved run as a file; unpacked it may have four times that.",
    "saved_run_source_bytes": "The texts of flows in a saved run.",
    "saved_run_meta_bytes": "The description of a saved run.",
    "saved_run_events": "Events of a saved run.",
    "saved_run_sources": "Flows of a saved run.",
}
"""What each limit bounds, for the reference."""
