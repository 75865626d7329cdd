from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileOptions, MethodOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, MethodDescriptorProto

OPTIONS = FileOptions(
    csharp_namespace="Carillon.V1",
    go_package="carillon/v1;carillonv1",
    java_multiple_files=True,
    java_package="dev.carillon.v1",
    php_namespace="Carillon\\V1",
    ruby_package="Carillon::V1",
)

RPCS = {
    "Sender": {"Send", "SendBatch", "SendStream", "Retract", "UpdateSchedule", "CancelSchedule"},
    "Broadcasts": {
        *("CreateBroadcast", "GetBroadcast", "ListBroadcasts", "PauseBroadcast", "ResumeBroadcast", "CancelBroadcast"),
        *("UploadTargetFile", "ListTargetFiles", "DeleteTargetFile"),
    },
    "Users": {
        *("IdentifyUser", "BatchUpsertUsers", "GetUser", "ListUsers", "DeleteUser", "ExportUser"),
        *("CreateUserToken", "RevokeUserTokens"),
    },
    "Preferences": {"SetPreferences", "PatchPreferences", "GetPreferences", "DeletePreferences", "Unsubscribe"},
    "SubNotifications": {"PutSubNotification", "GetSubNotification", "ListSubNotifications", "DeleteSubNotification"},
    "Notifications": {
        *("PutNotification", "GetNotification", "ListNotifications", "DeleteNotification", "PreviewNotification"),
    },
    "Inbox": {"ListInbox", "CountUnread", "MarkInbox", "SyncInbox", "WatchInbox"},
    "Messages": {"GetMessage", "ListMessages", "DeleteMessage", "GetStatistics", "ReportDelivery"},
    "Environments": {"GetEnvironment", "UpdateEnvironment"},
}

STREAMS = {"SendStream": (True, True), "UploadTargetFile": (True, False), "WatchInbox": (False, True)}

PREPOSITIONS = {"By", "For", "From", "In", "Of", "On", "To", "With"}


def test_every_file_has_the_same_options(files: Sequence[FileDescriptorProto]) -> None:
    """No language's stubs of one file land in another package than those of the others."""
    assert {file.name: file.options for file in files} == {file.name: OPTIONS for file in files}


def test_only_own_files_and_well_known_types_are_imported(files: Sequence[FileDescriptorProto]) -> None:
    """The contract can be generated from its folder and protoc alone."""
    foreign = [
        path for file in files for path in file.dependency if not path.startswith(("carillon/", "google/protobuf/"))
    ]
    assert foreign == []


def test_services_have_exactly_their_rpcs(files: Sequence[FileDescriptorProto]) -> None:
    """An RPC is neither missing nor there by accident."""
    found = {service.name: {method.name for method in service.method} for file in files for service in file.service}
    assert found == RPCS


def test_three_rpcs_stream(files: Sequence[FileDescriptorProto]) -> None:
    """All but SendStream, UploadTargetFile and WatchInbox are unary."""
    found = {
        method.name: (method.client_streaming, method.server_streaming)
        for method in _methods(files)
        if method.client_streaming or method.server_streaming
    }
    assert found == STREAMS


def test_rpc_names_have_no_preposition(files: Sequence[FileDescriptorProto]) -> None:
    """An RPC is a verb and a noun."""
    names = [method.name for method in _methods(files)]
    assert [name for name in names if PREPOSITIONS & set(_camel_words(name))] == []


def test_reading_rpcs_are_marked_as_such(files: Sequence[FileDescriptorProto]) -> None:
    """A client may repeat every Get, List and Count."""
    unmarked = [
        method.name
        for method in _methods(files)
        if method.name.startswith(("Get", "List", "Count"))
        and method.options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS
    ]
    assert unmarked == []


def test_every_list_is_paginated(files: Sequence[FileDescriptorProto]) -> None:
    """A List takes page_size and page_token and answers its items as field 1 and next_page_token as field 2."""
    messages = {message.name: message for message in _messages(files)}
    lists = [method.name for method in _methods(files) if method.name.startswith("List")]
    assert lists

    for name in lists:
        request, response = messages[f"{name}Request"], messages[f"{name}Response"]
        assert {("page_size", FieldDescriptorProto.TYPE_INT32), ("page_token", FieldDescriptorProto.TYPE_STRING)} <= {
            (field.name, field.type) for field in request.field
        }, name
        first, second = response.field[:2]
        assert (first.number, first.label) == (1, FieldDescriptorProto.LABEL_REPEATED), name
        assert (second.number, second.name) == (2, "next_page_token"), name


def test_who_takes_a_page_token_answers_the_next(files: Sequence[FileDescriptorProto]) -> None:
    """What is paginated is so at both ends; a welcome begins a list that ListInbox goes on with."""
    paginated = {name.removesuffix("Request") for name in _messages_with(files, "page_token")}
    assert paginated == {name.removesuffix("Request") for name in _messages_with(files, "page_size")}
    answering = {name.removesuffix("Response") for name in _messages_with(files, "next_page_token")}
    assert paginated == answering - {"InboxWelcome"}


def test_counts_and_sizes_are_int32(files: Sequence[FileDescriptorProto]) -> None:
    """No number is one that JSON writes as a string and grpc-js as a Long."""
    wide = {
        FieldDescriptorProto.TYPE_INT64,
        FieldDescriptorProto.TYPE_UINT64,
        FieldDescriptorProto.TYPE_UINT32,
        FieldDescriptorProto.TYPE_FIXED32,
        FieldDescriptorProto.TYPE_FIXED64,
        FieldDescriptorProto.TYPE_SFIXED32,
        FieldDescriptorProto.TYPE_SFIXED64,
        FieldDescriptorProto.TYPE_SINT32,
        FieldDescriptorProto.TYPE_SINT64,
    }
    fields = list(_fields(files))
    assert [(message.name, field.name) for message, field in fields if field.type in wide] == []
    assert [
        (message.name, field.name)
        for message, field in fields
        if field.name.endswith(("_count", "_size", "_bytes")) and field.type != FieldDescriptorProto.TYPE_INT32
    ] == []


def test_no_field_is_a_word_of_python(files: Sequence[FileDescriptorProto]) -> None:
    """Every field can be given by its name in a call; one called ``from`` could not."""
    assert [(message.name, field.name) for message, field in _fields(files) if iskeyword(field.name)] == []


def test_no_message_takes_a_name_that_is_taken(files: Sequence[FileDescriptorProto]) -> None:
    """A message is called neither like a service, which protoc refuses late, nor Warning, which Python has."""
    taken = RPCS.keys() | {"Warning"}
    assert taken.isdisjoint(message.name for message in _messages(files))


def test_optional_stands_where_absent_differs_from_zero(files: Sequence[FileDescriptorProto]) -> None:
    """Presence is a decision: each such field is listed here."""
    optional = {f"{message.name}.{field.name}" for message, field in _fields(files) if field.proto3_optional}
    assert optional == {"ApnOptions.badge", "DigestSchedule.hour", "InboxFilter.unread"}


def test_sends_and_creates_can_be_repeated(files: Sequence[FileDescriptorProto]) -> None:
    """What would hurt twice takes a request_id and says when it answers a repetition."""
    assert {"SendRequest", "CreateBroadcastRequest"} <= _messages_with(files, "request_id")
    assert {"SendResponse", "CreateBroadcastResponse"} == _messages_with(files, "replayed")


def _methods(files: Sequence[FileDescriptorProto]) -> Iterator[MethodDescriptorProto]:
    return (method for file in files for service in file.service for method in service.method)


def _messages(files: Sequence[FileDescriptorProto]) -> Iterator[DescriptorProto]:
    return (message for file in files for message in file.message_type)


def _fields(files: Sequence[FileDescriptorProto]) -> Iterator[tuple[DescriptorProto, FieldDescriptorProto]]:
    return ((message, field) for message in _messages(files) for field in message.field)


def _messages_with(files: Sequence[FileDescriptorProto], name: str) -> set[str]:
    return {message.name for message, field in _fields(files) if field.name == name}


def _camel_words(name: str) -> list[str]:
    return "".join(f" {char}" if char.isupper() else char for char in name).split()
