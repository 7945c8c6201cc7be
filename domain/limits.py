"""Limits: every size, depth and count that TestMesh enforces, in one place. Sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

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
    mock_servers: int = 10
    mock_endpoints: int = 200
    mock_connections: int = 200
    mock_requests: int = 1_000
    mock_recorded_bytes: int = 8 * MIB
    websockets: int = 50
    stream_messages: int = 1_000
    stream_message_bytes: int = MIB
    stream_bytes: int = 8 * MIB
    saved_run_bytes: int = 256 * MIB
    """A saved run, as a file; everything in it, once unpacked, may have four times that."""
    saved_run_source_bytes: int = 256 * MIB
    saved_run_meta_bytes: int = 32 * MIB
    saved_run_events: int = 2_000_000
    saved_run_sources: int = 10_000


LIMITS = Limits()
