"""PyMySQL's connection with bounds on what it reads, and with MariaDB's word on which columns hold JSON."""

from __future__ import annotations

import re
import struct
from typing import Any

from pymysql import connections, protocol
from pymysql.constants import CLIENT, COMMAND, FIELD_TYPE, SERVER_STATUS
from pymysql.err import OperationalError

from application.actions.database_rows import Rows, column_names
from application.actions.database_values import base64_text
from application.actions.mysql_values import CONVERSIONS, literal
from application.actions.sql_placeholders import Sql
from application.engine.action import ActionError

_MOST_COLUMNS = 4_096
_AFTER_VERSION = 27
_EXTENDED_METADATA = 1 << 3
"""MARIADB_CLIENT_EXTENDED_METADATA, in the upper half of 64 capabilities: mariadb.com/kb/en/connection."""
_JSON = b"\x01\x04json"
_PLACE = re.compile("\0([0-9]+)\0")
_CHANGING = re.compile(r"\s*(?:insert|replace|delete)\b", re.IGNORECASE)
_CLEAR_TEXT = 2061
_library: Any = connections  # its type stubs leave out what is built on here
_packets: Any = protocol


class MysqlConnection(_library.Connection):  # type: ignore[misc]
    """A connection that is not connected yet. `most` is the size in bytes that a row, or what describes one, may have."""

    server_status: int

    def __init__(self, most: int, **options: Any) -> None:
        self._most = most
        self._left = most
        self._greeting: bytes | None = None
        self._formats = False
        self._introducing = False
        super().__init__(
            conv=CONVERSIONS,
            autocommit=True,
            local_infile=False,
            client_flag=CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS,
            auth_plugin_map={"mysql_clear_password": _OverTls, "dialog": _OverTls},
            defer_connect=True,
            **options,
        )

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as the server said last."""
        return bool(self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def command(self, text: str) -> None:
        """Run one statement that gives no rows."""
        self._send(text)
        self._read_ok_packet()

    def fetch(self, sql: Sql, rows: Rows) -> None:
        """Run the SQL and fill in `rows`. A value that cannot be read is told when all answers have been read."""
        text = self._written(sql)
        self._send(text)
        more, fault = self._answer(rows)
        if rows.tabular and _CHANGING.match(text):
            rows.changed += rows.count  # rows of RETURNING are rows that were changed
        while more:
            more, found = self._answer(rows)
            fault = fault or found
        if fault is not None:
            raise fault

    def _written(self, sql: Sql) -> str:
        if not sql.values:
            return sql.text
        if self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES and "\\" in sql.text:
            message = "under NO_BACKSLASH_ESCAPES a query with parameters holds no backslash"
            raise ActionError("config", message, hint="give the text with the backslash as a parameter")
        literals = [literal(value, self._escape_string) for value in sql.values]
        return _PLACE.sub(lambda place: literals[int(place[1]) - 1], sql.text)

    def _send(self, text: str) -> None:
        self._left = self._most
        self._execute_command(COMMAND.COM_QUERY, text)

    def _answer(self, rows: Rows) -> tuple[bool, ActionError | None]:
        """Read one answer. Whether another follows, and what was wrong with a row of this one."""
        self._left = self._most
        result = _Result(self)
        try:
            result.init_unbuffered_query()
            if result.field_count:
                return self._rows(result, rows)
        finally:
            result.unbuffered_active = False  # else it goes on reading when it is thrown away
        self.server_status = result.server_status or 0
        rows.changed += result.affected_rows or 0
        return bool(result.has_next), None

    def _rows(self, result: _Result, rows: Rows) -> tuple[bool, ActionError | None]:
        rows.begin()
        fault: ActionError | None = None
        while True:
            self._left = self._most
            packet = self._read_packet()
            if packet.is_eof_packet():
                end = _packets.EOFPacketWrapper(packet)
                self.server_status = end.server_status
                return bool(end.has_next), fault
            if rows.wants(len(packet.get_all_data())) and fault is None:
                try:
                    rows.kept.append(result.record(packet))
                except (ValueError, RecursionError) as error:
                    fault = ActionError("query", f"row {rows.count} holds a value that cannot be read: {error}")

    def _get_server_information(self) -> None:
        super()._get_server_information()
        self._formats = bool(_extended(self._greeting or b"") & _EXTENDED_METADATA)

    def _request_authentication(self) -> None:
        self._introducing = True
        try:
            super()._request_authentication()
        finally:
            self._introducing = False

    def write_packet(self, payload: bytes) -> None:
        """Send a packet; the one that introduces the client asks for the formats of columns, if there are any."""
        if self._introducing and self._formats and len(payload) >= 32 and payload[9:32] == bytes(23):
            flags = struct.unpack_from("<I", payload)[0] & ~CLIENT.LONG_PASSWORD
            payload = struct.pack("<I", flags) + payload[4:28] + struct.pack("<I", _EXTENDED_METADATA) + payload[32:]
        super().write_packet(payload)

    def _read_packet(self, packet_type: Any = _packets.MysqlPacket) -> Any:
        described = self._formats and packet_type is _packets.FieldDescriptorPacket
        packet = super()._read_packet(_Described if described else packet_type)
        if self._greeting is None:
            self._greeting = packet.get_all_data()
        return packet

    def _read_bytes(self, num_bytes: int) -> bytes:
        self._left -= num_bytes
        if self._left < 0:
            self._force_close()
            raise ActionError("response_too_large", f"a row is larger than {self._most} bytes")
        data: bytes = super()._read_bytes(num_bytes)
        return data


class _Result(_library.MySQLResult):  # type: ignore[misc]
    """One answer. Its rows are read by the connection."""

    names: list[str]
    converters: list[Any]

    def record(self, packet: Any) -> dict[str, Any]:
        """A row as plain data. ValueError for a value that cannot be read."""
        return dict(zip(self.names, self._read_row_from_packet(packet), strict=True))

    def _get_descriptions(self) -> None:
        if not self.field_count or self.field_count > _MOST_COLUMNS:
            raise ActionError("protocol", f"the server announces {self.field_count} columns")
        super()._get_descriptions()
        self.names = column_names(field.name for field in self.fields)
        self.converters = [
            (encoding, convert or (base64_text if encoding is None else None)) for encoding, convert in self.converters
        ]


class _Described(_packets.FieldDescriptorPacket):  # type: ignore[misc]
    """The description of a column with MariaDB's extended metadata, which stand before the fixed part."""

    def _parse_field_descriptor(self, encoding: str) -> None:
        self.catalog, self.db = self.read_length_coded_string(), self.read_length_coded_string()
        names = [(self.read_length_coded_string() or b"").decode(encoding) for _ in range(4)]
        self.table_name, self.org_table, self.name, self.org_name = names
        extended = self.read_length_coded_string() or b""
        self.charsetnr, self.length, self.type_code, self.flags, self.scale = self.read_struct("<xHIBHBxx")
        if _JSON in extended:
            self.type_code = FIELD_TYPE.JSON


class _OverTls:
    """Ways to log in that send the password as it is: not without TLS."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, packet: Any) -> Any:
        """Send the password."""
        if not self._connection._secure:
            raise OperationalError(_CLEAR_TEXT, "the server asks for the password in clear text, and there is no TLS")
        self._connection.write_packet(self._connection.password + b"\0")
        return self._connection._read_packet()


def _extended(greeting: bytes) -> int:
    """The upper half of a MariaDB server's capabilities; 0 of another server, which has CLIENT_MYSQL set."""
    at = greeting.find(b"\0", 1) + 1
    if not at or len(greeting) < at + _AFTER_VERSION + 4 or greeting[at + 13] & CLIENT.LONG_PASSWORD:
        return 0
    found: int = struct.unpack_from("<I", greeting, at + _AFTER_VERSION)[0]
    return found
